"""Slides: what a chapter shows, a thing a slide, and nothing that it does not say."""

import pytest
from lxml import html

from tools.volume import downloads, sheets, slides
from tools.volume.site import Page

FORMULA = (
    '<div class="math math-block" id="equation-{0}"><span class="katex"><span class="katex-mathml">'
    '<math><annotation encoding="application/x-tex">{1}</annotation></math></span>'
    '<span class="katex-html">drawn {0}</span></span><span class="eqno">(1.{0})</span></div>'
)
LONG = FORMULA.format(3, r"c \\ d \\ e")
CHAPTER = f"""<article><section id="one"><h1><span class="section-number">Chapter 1</span>One</h1>
<div class="goals admonition"><p class="admonition-title">You will be able to</p>
<ul><li>do it;</li></ul>
<p><strong>You need</strong> nothing.\nReading time: 5 minutes.\nThe code ran.</p></div>
<div class="tip admonition"><p class="admonition-title">Predict first</p><p>How many?</p></div>
<section id="begin"><h2><span class="section-number">1.1. </span>Begin</h2>
<p>A word before.\nThis is <em>the</em> rule:</p>{FORMULA.format(1, "a")}
<p>And so</p>{FORMULA.format(2, "b")}
<p>Then</p>{LONG}
<div class="admonition proof" id="t"><p class="admonition-title">Theorem 1</p>
<section><p>Yes.</p></section></div>
<div class="admonition proof"><section><p>Because.</p></section></div>
<div class="cell"><div class="claim claim-claim"><p>It holds.</p></div>
<div class="claim claim-check"><p>Equal.</p></div></div></section>
<section id="more"><h2>More</h2><figure class="frames"><img src="../../_images/0.svg" alt="0">
<img src="../../_images/1.svg" alt="1" hidden><img src="../../_images/2.svg" alt="2" hidden>
<figcaption><p>They <a href="two.html#x">move</a>.</p></figcaption></figure>
<div class="admonition exercise"><div class="math-block">not me</div></div></section>
<section id="in-short"><h2>In short</h2><p>One.\nTwo.\nThree.\nFour.\nFive.\nSix.</p></section>
<section id="exercises"><h2>Exercises</h2><figure><img src="a.svg" alt="no"></figure></section>
<section id="check-yourself"><h2>Check yourself</h2><ol><li><p>Why?</p>
<details class="admonition dropdown">
<summary class="admonition-title">Answer</summary><p>So.</p></details>
</li></ol></section></section></article>"""


@pytest.fixture
def page():
    return Page("book/first/one", "First", html.fromstring(CHAPTER))


@pytest.fixture
def deck(page):
    return slides.deck(page)


def shown(slide):
    return " ".join(" ".join(part.text_content().split()) for part in slide.content)


def test_a_deck_has_what_the_chapter_has_in_its_order(deck):
    titles = ["", "You will be able to", "Predict first", *["Begin"] * 4, "More"]
    assert [slide.title for slide in deck] == [*titles, "In short", "In short", "Check yourself"]
    assert "One" in shown(deck[0])


def test_goals_leave_out_reading_and_run_times(deck):
    assert shown(deck[1]) == "do it; You need nothing."


def test_two_short_formulas_share_a_slide_and_a_long_one_has_its_own(deck):
    assert "drawn 1" in shown(deck[3])
    assert "drawn 2" in shown(deck[3])
    assert "drawn 3" in shown(deck[4])
    assert "drawn 2" not in shown(deck[4])


def test_a_formula_comes_with_the_sentence_before_it_and_the_rest_is_for_the_speaker(deck):
    assert shown(deck[3]).startswith("This is the rule:")
    assert "A word before." not in shown(deck[3])
    assert "A word before." in " ".join(note.text_content() for note in deck[3].notes)


def test_theorems_and_claims_are_shown_proofs_checks_and_exercises_not(deck):
    text = " ".join(shown(slide) for slide in deck)
    for wanted in ("Theorem 1", "Yes.", "It holds.", "They move."):
        assert wanted in text
    for unwanted in ("Because.", "Equal.", "not me", "not yet"):
        assert unwanted not in text
    assert not any(slide.title == "Exercises" for slide in deck)


def test_a_sheet_has_the_exercises_and_the_key_their_solutions(tmp_path):
    source = CHAPTER.replace(
        '<section id="exercises"><h2>Exercises</h2>',
        '<section id="exercises"><h2>Exercises</h2><div class="exercise admonition">Do it.</div>'
        "<div class='cell'>check_answer(7)</div>"
        '<details class="solution admonition"><p>Done.</p></details>',
    )
    page = Page("book/first/one", "First", html.fromstring(source))
    slides.deck(page)
    assert sheets.write(page, tmp_path, "first/one", "../../") == 1
    sheet = (tmp_path / "first" / "one-exercises.html").read_text("utf-8")
    key = (tmp_path / "first" / "one-answers.html").read_text("utf-8")
    assert "Do it." in sheet
    assert "Done." not in sheet
    assert "check_answer" not in sheet
    assert "Done." in key
    assert "@" not in sheet.split("<body>")[1]
    assert 'href="../../book/first/one.html"' in sheet


def test_a_slider_is_stepped_through(deck):
    pictures = deck[7].content[0].xpath(".//img")
    assert [p.get("class") for p in pictures] == [
        *("fragment fade-out", "fragment current-visible", "fragment")
    ]
    assert [p.get("data-fragment-index") for p in pictures] == ["0", "0", "1"]
    assert pictures[0].get("src") == "../../_images/0.svg"


def test_links_lead_to_the_site(deck):
    link = deck[7].content[0].find(".//a")
    assert link.get("href") == "../../book/first/two.html#x"


def test_the_summary_is_split_and_an_answer_comes_a_step_later(deck):
    assert [len(slide.content[0]) for slide in deck[8:10]] == [5, 1]
    answer = deck[10].content[0].find_class("answer")[0]
    assert "fragment" in answer.get("class")
    assert answer.text_content().split() == ["So."]


def test_a_slide_holds_no_section_no_id_and_each_formula_once(page):
    source = slides.document(page, slides.deck(page))
    tree = html.fromstring(source)
    assert not tree.xpath("//section//section")
    assert not tree.xpath("//section//*[@id]")
    assert "katex-mathml" not in source
    assert "@UP@" not in source
    assert "--accent" in source


def test_sentences_are_the_lines_of_a_paragraph_with_what_stands_in_them():
    paragraph = html.fromstring("<p>One <b>two</b>.\nThree\n<i>four</i> five.</p>")
    assert [s.text_content() for s in slides.sentences(paragraph)] == [
        *("One two.", "Three", "four five.")
    ]


def test_each_chapter_links_to_its_deck_once(tmp_path):
    file = tmp_path / "book" / "first" / "one.html"
    file.parent.mkdir(parents=True)
    file.write_text('<div class="page-tools">\n<a>Colab</a>\n</div>')
    lecturers = tmp_path / "book" / "lecturers.html"
    lecturers.write_text('<p class="decks"></p>')
    for _ in range(2):
        downloads.offer_slides(tmp_path, {"book/first/one": "first/one"})
    assert file.read_text().count("../../slides/first/one.html") == 1
    assert lecturers.read_text().count("../slides/index.html") == 1
    lecturers.write_text("<p></p>")
    with pytest.raises(ValueError, match="decks"):
        downloads.offer_slides(tmp_path, {})
    file.write_text("<p></p>")
    with pytest.raises(ValueError, match="page-tools"):
        downloads.offer_slides(tmp_path, {"book/first/one": "first/one"})
