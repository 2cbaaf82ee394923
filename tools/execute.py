"""Execute chapters as the book's build does: two at a time, one thread each, through a cache.

usage: python -m tools.execute [CHAPTER.md ...]      (default: every chapter of _toc.yml)

The cache that myst-nb reads knows a page by its code cells and its kernel. It would not notice a
change of the package, of a pinned version, of a record or of the data at hand, and keep stale
numbers. So there is one cache folder per state of these, and ``_build/.jupyter_cache`` is a link
to the one of now.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import toc

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
LINK = BUILD / ".jupyter_cache"
BUDGET_SECONDS, BUDGET_MB = 60, 2000
BUDGETS = {"book/study/cifar10": 120}  # pages with more time than the others
INPUTS = ("requirements.txt", "constraints.txt", "pyproject.toml")
BOOK_RECORD = "book.jsonl"  # how long builds took: no page reads it
ROBUST_RECORD = "robust.jsonl"  # claims under other seeds: no cell reads it
CLAIM = "application/vnd.dlbook.claim+json"
WARNING = re.compile(r"ipykernel_\d+[/\\]\d+\.py:\d+: \w*Warning")  # caused by a cell's own line

for _name in ("DLBOOK_DATA", "DLBOOK_CACHE"):  # kernels run in the chapters' folders
    if os.environ.get(_name):
        os.environ[_name] = str(Path(os.environ[_name]).expanduser().absolute())


@dataclass
class Page:
    """How a chapter ran."""

    path: Path
    seconds: float = 0.0
    peak_mb: float = 0.0
    cached: bool = False
    error: str = ""

    @property
    def budget(self) -> float:
        return BUDGETS.get(self.path.relative_to(ROOT).with_suffix("").as_posix(), BUDGET_SECONDS)

    @property
    def warning(self) -> str:
        """What the page exceeds, in words, or nothing."""
        over = []
        if self.seconds > self.budget:
            over.append(f"{self.seconds:.0f} s where {self.budget:.0f} are allowed")
        if self.peak_mb > BUDGET_MB:
            over.append(f"{self.peak_mb:.0f} MB where {BUDGET_MB} are allowed")
        return ", ".join(over)


def chapters() -> list[Path]:
    """Return the pages of the book that have code, in reading order."""
    return [page.path for page in toc.chapters(ROOT)]


def state() -> str:
    """Return a digest of everything but the page itself that its results depend on."""
    files = [ROOT / name for name in INPUTS]
    files += sorted((ROOT / "dlbook_utils").rglob("*.py"))
    records = (path for path in (ROOT / "records").rglob("*") if path.is_file())
    files += sorted(path for path in records if path.name not in (BOOK_RECORD, ROBUST_RECORD))
    digest = hashlib.sha256(sys.version.encode())
    for path in files:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(_data_at_hand().encode())
    digest.update(json.dumps(environment(), sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _data_at_hand() -> str:
    """Return what distinguishes real data from stand-ins in this run."""
    from dlbook_utils import data

    try:
        return data.fingerprint()
    except data.DataError as error:  # DLBOOK_DATA is no folder
        raise SystemExit(str(error)) from None


def fetch_data(paths: list[Path]) -> None:
    """Fetch the data sets that the chapters load, before the state is taken: it says which are
    real. What cannot be had is not waited for; the page will say so.
    """
    from dlbook_utils import data

    code = "\n".join(path.read_text("utf8") for path in paths)
    for name in sorted(set(re.findall(r'data\.load\(\s*"([\w-]+)"', code))):
        try:
            there = data.ensure(name)
        except data.DataError as error:  # DLBOOK_DATA is no folder
            raise SystemExit(str(error)) from None
        if not there:
            print(f"  {name}: the real data are not at hand")


def environment() -> dict[str, str]:
    """Return the variables that every execution of the book sets."""
    fixed = {
        "DLBOOK_BUILD": "1",
        "DLBOOK_STRICT": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    passed = ("DLBOOK_SEED_OFFSET", "DLBOOK_BUDGET", "ATEN_CPU_CAPABILITY", "DLBOOK_OFFLINE")
    return fixed | {name: os.environ[name] for name in passed if name in os.environ}


def open_cache():
    """Return the cache of the present state, and make ``_build/.jupyter_cache`` point to it."""
    from jupyter_cache import get_cache

    folder = BUILD / "cache" / state()
    folder.mkdir(parents=True, exist_ok=True)
    if LINK.is_dir() and not LINK.is_symlink():
        shutil.rmtree(LINK)
    if not LINK.is_symlink() or LINK.resolve() != folder:
        temporary = LINK.with_name(f".link-{os.getpid()}")
        temporary.symlink_to(folder.relative_to(BUILD))
        temporary.replace(LINK)
    cache = get_cache(str(folder))
    cache.db  # noqa: B018 (creates the database before two processes try to)
    return cache


def read(path: Path):
    """Return a chapter as a notebook, as myst-nb reads it."""
    from jupyter_cache.readers import get_reader

    return get_reader({"type": "plugin", "name": "myst_nb_md"})(str(path))


def executed(path: Path):
    """Return the chapter with its outputs if it has run in the present state, else None."""
    cache, notebook = open_cache(), read(path)
    try:
        return cache.merge_match_into_notebook(notebook)[1]
    except KeyError:
        return None


def execute(paths: list[Path], workers: int = 2) -> list[Page]:
    """Execute those chapters that are not in the cache, and say how each went."""
    fetch_data(paths)
    cache = open_cache()
    pages: list[Page] = []
    todo: list[Path] = []
    for path in paths:
        if known := _known(cache, path):
            pages.append(known)
        else:
            todo.append(path)
    if todo:
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(min(workers, len(todo)), maxtasksperchild=1) as pool:
            jobs = [(path, 10 * Page(path).budget) for path in todo]
            for page, notebook in pool.imap_unordered(_run, jobs):
                if not page.error:
                    _keep(cache, page, notebook)
                print(f"  {_line(page)}", flush=True)
                pages.append(page)
    return sorted(pages, key=lambda page: paths.index(page.path))


def _known(cache, path: Path) -> Page | None:
    try:
        record = cache.match_cache_notebook(read(path))
    except KeyError:
        return None
    data = record.data
    return Page(path, data.get("execution_seconds", 0.0), data.get("peak_mb", 0.0), cached=True)


def _keep(cache, page: Page, notebook) -> None:
    from jupyter_cache.base import CacheBundleIn

    data = {"execution_seconds": page.seconds, "peak_mb": page.peak_mb}
    bundle = CacheBundleIn(notebook, str(page.path), data=data)
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def _run(job: tuple[Path, float]):
    """Execute one chapter in a kernel of this process; return its Page and the notebook."""
    path, timeout = job
    page, notebook = Page(path), read(path)
    os.environ.update(environment())
    start = time.perf_counter()
    try:
        run_cells(notebook, path.parent, timeout)
        if names := glued_twice(notebook):
            raise ValueError(f"glued twice, so that one of the numbers is lost: {names}")
        if lines := warned(notebook):
            raise ValueError(f"a reader would see a warning: {lines}")
    except Exception as error:  # a cell that failed, a kernel that died, a timeout
        page.error = f"{type(error).__name__}: {error}"
    page.seconds = time.perf_counter() - start
    unit = 1024**2 if sys.platform == "darwin" else 1024  # macOS counts bytes
    page.peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    return page, notebook


def run_cells(notebook, folder: Path, timeout: float, env: dict[str, str] | None = None) -> None:
    """Run a notebook's cells in place; raises CellExecutionError at the first that fails.

    The kernel's environment is `env`, or that of this process.
    """
    from nbclient import NotebookClient

    where, quiet = {"metadata": {"path": str(folder)}}, ["--log-level=ERROR"]
    options: dict[str, Any] = {"timeout": timeout, "record_timing": False, "extra_arguments": quiet}
    NotebookClient(notebook, resources=where, **options).execute(env=env or dict(os.environ))


def glued_twice(notebook) -> list[str]:
    """Return the names under which an executed notebook's cells glue more than one value."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    marks = [out.get("metadata", {}).get("scrapbook", {}) for out in outputs]
    counts = Counter(mark["name"] for mark in marks if "name" in mark)
    return sorted(name for name, times in counts.items() if times > 1)


def warned(notebook) -> list[str]:
    """Return the warnings that an executed notebook's own lines caused, as a reader sees them."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    written = "".join(out["text"] for out in outputs if out.get("name") == "stderr")
    return [line for line in written.splitlines() if WARNING.search(line)]


def claims(notebook) -> list[dict]:
    """Return the claims that an executed notebook holds, in order."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return [dict(out["data"][CLAIM]) for out in outputs if CLAIM in out.get("data", {})]


def _line(page: Page) -> str:
    name = page.path.relative_to(ROOT).as_posix()
    how = "FAILED" if page.error else "cached" if page.cached else "ran"
    return f"{how:6} {page.seconds:6.1f} s {page.peak_mb:6.0f} MB  {name}"


def report(pages: list[Page]) -> int:
    """Print errors and pages over their budget; return how many failed."""
    for page in pages:
        if page.error:
            print(f"\n{page.path.relative_to(ROOT)}\n{page.error}")
        elif page.warning:
            print(f"  over budget: {page.path.relative_to(ROOT)}: {page.warning}")
    return sum(bool(page.error) for page in pages)


def main() -> int:
    if any(name.startswith("-") for name in sys.argv[1:]):
        print(__doc__)
        return 2
    paths = [Path(name).resolve() for name in sys.argv[1:]] or chapters()
    pages = execute(paths)
    for page in pages:
        if page.cached:
            print(f"  {_line(page)}")
    for page in pages if sys.argv[1:] else []:
        for item in claims(executed(page.path) or read(page.path)):
            margin = "" if item["margin"] is None else f" | margin {item['margin']:.1f} s.e."
            print(f"    {item['kind']}: {item['statement']}: {item['outcome']}", end="")
            print(f" ({item['evidence']}){margin}" if item["evidence"] else margin)
    return 1 if report(pages) else 0


if __name__ == "__main__":
    sys.exit(main())
