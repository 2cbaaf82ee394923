"""A record goes on with what a page's cells define, and with nothing that comes later."""

import pytest

from tools.records.workshop import sources_of, workshop

PAGE = """---
kernelspec: {name: python3, display_name: P, language: python}
jupytext: {text_representation: {extension: .md, format_name: myst}}
---
# A page

```{code-cell} ipython3
first = 1
```

```{code-cell} ipython3
first = 2
check("never", False)
```

```{code-cell} ipython3
def last():
    return first
```

```{code-cell} ipython3
first = 3
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_cells_run_up_to_the_last_that_is_needed_but_those_that_compare(page):
    names = workshop(page, "def last(")
    assert names["last"]() == 1
    assert len(sources_of(page)) == 4


def test_other_cells_can_be_left_out(page):
    assert "first" not in workshop(page, "def last(", ("first = ",))


def test_a_page_without_that_cell_is_an_error(page):
    with pytest.raises(ValueError, match="no cell of page.md holds 'def gone'"):
        workshop(page, "def gone")
