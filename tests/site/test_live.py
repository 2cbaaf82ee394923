"""Figures that compute in the page: each does what its chapter does."""

from __future__ import annotations

import base64
import io
import json
import math
import random
import re
import subprocess
from types import SimpleNamespace

import pytest
import torch
from bs4 import BeautifulSoup
from dlbook_site import live
from dlbook_site.node import node
from PIL import Image

from tests.site.small_book import ROOT, Book

LEARN = """
const perceptron = require(process.argv[1]);
const sets = JSON.parse(process.argv[2]);
const learned = sets.map((points) => {
  let state = perceptron.start(points), mistakes = [];
  while (state.since < points.length && state.seen < 40 * points.length) {
    const at = state.next;
    state = perceptron.look(state);
    if (state.mistaken >= 0) mistakes.push(at);
  }
  return { weights: state.weights, mistakes, same: perceptron.learn(points, 40).mistakes };
});
process.stdout.write(JSON.stringify(learned));
"""


DIFFERENTIATE = """
const { differentiate } = require(process.argv[1]);
const said = JSON.parse(process.argv[2]).map(([text, inputs]) => {
  try { return differentiate(text, inputs); } catch (error) { return { error: error.message }; }
});
process.stdout.write(JSON.stringify(said));
"""


def run(code, name, argument):
    """Return what Node answers: code that knows the script of a figure, and an argument."""
    command = [node(), "-e", code, str(live.script(name)), json.dumps(argument)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(said.stdout)


def learn_perceptron():
    """The function of the chapter, from its cell."""
    page = (ROOT / "book/foundations/perceptron.md").read_text("utf8")
    cell = re.search(r"^def learn_perceptron.*?(?=^```)", page, re.M | re.S).group()
    names = {"torch": torch}
    exec(cell, names)
    return names["learn_perceptron"]


def test_the_live_perceptron_makes_the_mistakes_of_the_chapter():
    g = torch.Generator().manual_seed(3)
    points = torch.randint(-64, 65, (30, 12, 2), generator=g) / 64  # sums are exact
    classes = (points.sum(2) + torch.randint(0, 2, (30, 12), generator=g) / 8 > 0) * 2.0 - 1
    classes[:5] = torch.randint(0, 2, (5, 12), generator=g) * 2.0 - 1  # no line: it goes on
    sets = torch.cat([points, classes[..., None]], 2)
    learned = run(LEARN, "perceptron", sets.tolist())
    learn = learn_perceptron()
    for inputs, labels, ours in zip(points, classes, learned, strict=True):
        x = torch.cat([inputs, torch.ones(12, 1)], 1)
        weights, mistakes = learn(x, labels, passes=40)
        assert ours["mistakes"] == mistakes
        assert ours["same"] == len(mistakes)
        assert ours["weights"] == weights.tolist()
    assert max(len(ours["mistakes"]) for ours in learned) > 100
    assert min(len(ours["mistakes"]) for ours in learned) < 10


def expressions(number, rng):
    """Yield random texts that JavaScript and Python read alike, with values for a, b and c."""

    def grow(depth):
        if depth == 0:
            return rng.choice(["a", "b", "c", "a", "b", str(rng.randint(1, 9)), "0.5"])
        form = rng.choice(
            ["({} + {})", "({} - {})", "({} * {})", "({} / {})", "tanh({})", "-{}", "exp({})",
             "({})^2", "({})^3", "sin({})", "cos({})", "relu({})", "sqrt({})", "log({})"]
        )  # fmt: skip
        return form.format(*(grow(depth - 1) for _ in range(form.count("{}"))))

    for _ in range(number):
        second = re.sub(r"c\b", "(u*c)", grow(2))
        named = f"u = {grow(2)}; {second} + u"
        yield named, {name: round(rng.uniform(-2, 2), 3) for name in "abc"}


FUNCTIONS = ("tanh", "exp", "sin", "cos", "relu", "sqrt", "log")


def by_autograd(text, values):
    """Return the value and the gradients that PyTorch computes for a text."""
    leaves = {
        name: torch.tensor(x, dtype=torch.float64, requires_grad=True) for name, x in values.items()
    }
    names = {name: getattr(torch, name) for name in FUNCTIONS} | leaves
    names["number"] = lambda x: torch.tensor(x, dtype=torch.float64)
    text = re.sub(r"(?<![\^.\w])(\d+(?:\.\d+)?)", r"number(\1)", text).replace("^", "**")
    first, second = text.split(";")
    names["u"] = eval(first.removeprefix("u = "), names)
    y = eval(second.strip(), names) + 0 * leaves["a"]  # a text may have numbers alone
    y.backward()
    return y.item(), {name: x.grad.item() for name, x in leaves.items() if x.grad is not None}


def test_the_live_graph_differentiates_like_pytorch():
    asked = list(expressions(400, random.Random(5)))
    said = run(DIFFERENTIATE, "backprop", asked)
    compared = refused = 0
    for (text, values), ours in zip(asked, said, strict=True):
        value, gradients = by_autograd(text, values)
        if "error" in ours:  # somewhere on the way something is infinite or not a number
            assert "no value or no slope" in ours["error"], text
            refused += 1
            continue
        assert ours["value"] == pytest.approx(value, rel=1e-9), text
        for name, gradient in ours["gradients"].items():
            assert gradient == pytest.approx(gradients[name], rel=1e-9, abs=1e-12), (text, name)
        assert all(map(math.isfinite, (value, *gradients.values()))), text
        compared += 1
    assert compared > 150
    assert refused > 10


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a b", "expected “;” before “b”"),
        ("(a", "expected “)” at the end"),
        ("2 +", "the expression ends too early"),
        ("a $ b", "“$” at place 2 is not understood"),
        ("foo(a)", "no function “foo”; known are exp"),
        ("a^b", "a power has to be a number"),
        ("a = 1; a = 2", "“a” has a value already"),
        ("log(a - a)", "log of 0 has no value or no slope"),
        ("+".join(["a*b"] * 20), "nodes; at most 24 can be drawn"),
    ],
)
def test_what_is_no_expression_is_refused_in_words(text, complaint):
    [ours] = run(DIFFERENTIATE, "backprop", [(text, {"a": 1, "b": 2})])
    assert complaint in ours["error"]


def test_the_sweep_of_the_example_is_that_of_the_chapter():
    [ours] = run(
        DIFFERENTIATE, "backprop", [("u = a*b; v = b + c; u + u*v", {"a": 2, "b": 3, "c": -1})]
    )
    assert ours == {"value": 18, "gradients": {"a": 9, "b": 12, "c": 6}}


CORRELATE = """
const { correlate, drawing, KERNELS } = require(process.argv[1]);
const asked = JSON.parse(process.argv[2]);
const sides = asked.map(({ picture, kernel, side }) => correlate(picture, kernel, side));
const ours = Object.values(KERNELS).map((kernel) => [kernel, correlate(drawing(), kernel)]);
process.stdout.write(JSON.stringify({ sides, ours, drawing: drawing() }));
"""


def test_the_live_kernel_slides_like_pytorchs():
    g = torch.Generator().manual_seed(7)
    pairs = [
        (torch.randn(n, n, generator=g, dtype=torch.float64), torch.randn(3, 3, generator=g))
        for n in (3, 4, 9, 28)
    ]
    asked = [
        {"picture": x.flatten().tolist(), "kernel": w.flatten().tolist(), "side": len(x)}
        for x, w in pairs
    ]
    said = run(CORRELATE, "convolution", asked)
    for (x, w), ours in zip(pairs, said["sides"], strict=True):
        theirs = torch.nn.functional.conv2d(x[None, None], w.double()[None, None])
        assert ours == pytest.approx(theirs.flatten().tolist(), abs=1e-12)
    drawing = torch.tensor(said["drawing"], dtype=torch.float64).view(1, 1, 28, 28)
    for kernel, ours in said["ours"]:
        w = torch.tensor(kernel, dtype=torch.float64).view(1, 1, 3, 3)
        theirs = torch.nn.functional.conv2d(drawing, w).flatten().tolist()
        assert ours == pytest.approx(theirs, abs=1e-12)


SURFACES = {
    "ravine": lambda x, y: 0.04 * x**2 + 4 * y**2,
    "slanted": lambda x, y: 0.02 * (x + y) ** 2 + 2 * (x - y) ** 2,
    "bend": lambda x, y: 0.25 * (1 - x) ** 2 + 3 * (y - 0.4 * x**2) ** 2,
    "saddle": lambda x, y: x**2 - y**2 / 2 + 0.2 * y**4 + 0.3125,
}
OPTIMISERS = {
    "SGD": torch.optim.SGD,
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "RMSProp": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
}
RUN = """
const optimisers = require(process.argv[1]);
const said = JSON.parse(process.argv[2]).map(([rule, surface, start, rate]) => {
  const places = optimisers.path(rule, surface, start, rate, 50);
  return [places, places.map((place) => optimisers.SURFACES[surface].height(...place))];
});
process.stdout.write(JSON.stringify(said));
"""
RACE = """
const { race, SURFACES } = require(process.argv[1]);
const said = {};
for (const name of JSON.parse(process.argv[2])) {
  const { start, height, lowest } = SURFACES[name];
  said[name] = {};
  for (const { rule, rate, places } of race(name, start)) {
    said[name][rule] = [rate, height(...places.at(-1)) - lowest];
  }
}
process.stdout.write(JSON.stringify(said));
"""


def test_the_live_optimisers_walk_like_pytorchs():
    asked = [
        [rule, surface, [-1.1, 0.3], rate]
        for rule in OPTIMISERS
        for surface in SURFACES
        for rate in (0.003, 0.05)
    ]
    for (rule, surface, start, rate), (ours, heights) in zip(
        asked, run(RUN, "optimisers", asked), strict=True
    ):
        place = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        optimiser = OPTIMISERS[rule]([place], lr=rate)
        theirs, levels = [], []
        for _ in range(51):
            height = SURFACES[surface](*place)
            theirs.append(place.tolist())
            levels.append(height.item())
            optimiser.zero_grad()
            height.backward()
            optimiser.step()
        torch.testing.assert_close(
            torch.tensor(ours, dtype=torch.float64), torch.tensor(theirs, dtype=torch.float64),
            rtol=1e-8, atol=1e-9,
        )  # fmt: skip
        assert heights == pytest.approx(levels, rel=1e-8, abs=1e-9)


def test_turning_a_ravine_takes_from_the_rules_that_divide_what_the_caption_says():
    left = run(RACE, "optimisers", ["ravine", "slanted"])
    height = {name: {rule: h for rule, (_, h) in runs.items()} for name, runs in left.items()}
    assert height["ravine"]["RMSProp"] < height["ravine"]["SGD"] / 100
    assert height["slanted"]["RMSProp"] > height["slanted"]["SGD"] / 2
    assert height["ravine"]["Adam"] < height["ravine"]["SGD"] / 30
    assert height["slanted"]["SGD"] / 30 < height["slanted"]["Adam"] < height["slanted"]["SGD"] / 3
    rates = [rate for runs in left.values() for rate, _ in runs.values()]
    assert min(rates) > 0.001  # the lowest that is tried


def test_the_pictures_of_the_live_kernel_are_pictures():
    svg = BeautifulSoup(f"<svg>{live.still('convolution')['svg']}</svg>", "html.parser")
    sizes = []
    for image in svg.select("image"):
        content = base64.b64decode(image["href"].removeprefix("data:image/bmp;base64,"))
        sizes.append(Image.open(io.BytesIO(content)).convert("RGB"))
    assert [picture.size for picture in sizes] == [(28, 28), (26, 26)]
    assert sizes[0].getpixel((8, 8)) == (255, 255, 255)  # the disc
    assert sizes[1].getpixel((7, 7)) == (252, 252, 252)  # inside of it nothing is answered
    assert sizes[1].getpixel((1, 7)) == (196, 86, 11)  # its left edge, dark to bright: positive
    assert sizes[1].getpixel((13, 7)) == (10, 103, 173)


@pytest.mark.parametrize("name", live.BUTTONS)
def test_a_still_picture_is_whole(name):
    picture = live.still(name)
    svg = BeautifulSoup(f"<svg>{picture['svg']}</svg>", "html.parser")
    assert picture["width"] >= 320
    assert picture["height"] > 190
    assert len(picture["svg"]) > 500
    for shape in svg.select("circle"):
        assert 0 < float(shape["cx"]) < picture["width"]
        assert 0 < float(shape["cy"]) < picture["height"]


def test_the_stills_show_the_end():
    points = BeautifulSoup(f"<svg>{live.still('perceptron')['svg']}</svg>", "html.parser")
    assert (len(points.select(".one")), len(points.select(".other"))) == (8, 6)
    assert points.select_one("polygon.plus")
    graph = BeautifulSoup(f"<svg>{live.still('backprop')['svg']}</svg>", "html.parser")
    assert sorted(mark.text for mark in graph.select(".gradient")) == [
        "1",
        "1",
        "12",
        "3",
        "6",
        "6",
        "9",
    ]


@pytest.mark.parametrize("name", live.BUTTONS)
def test_every_button_does_something(name):
    script = live.script(name).read_text("utf8")
    actions = re.search(r"const actions = \{(.*?)\n  \};", script, re.S).group(1)
    named = re.findall(r"^    (\w+): \(\) =>", actions, re.M)
    assert sorted(named) == sorted(live.BUTTONS[name])


@pytest.fixture(scope="module")
def site(tmp_path_factory, browser_assets):
    book = Book(tmp_path_factory.mktemp("live"))
    text = "Watch *it* learn.\n"
    book.page("alive", f"# Alive\n\n```{{live}} perceptron\n:alt: Points\n\n{text}```\n")
    book.page(
        "dead", f"# Dead\n\n```{{live}} perceptron\n{text}```\n\n```{{live}} x\n:alt: A\n```\n"
    )
    complaints = book.build()
    return SimpleNamespace(html=book.html, complaints=complaints)


def test_a_page_with_a_figure_loads_its_script_and_no_other_does(site):
    page = site.html("book/alive")
    figure = page.select_one('figure.live[data-live="perceptron"]')
    assert figure.svg["aria-label"] == "Points"
    assert figure.figcaption.p.text == "Watch it learn."
    assert figure.figcaption.em.text == "it"
    scripts = [script["src"] for script in page.select("script[src]")]
    assert any("live-perceptron.js" in name for name in scripts)
    scripts = [script["src"] for script in site.html("book/index").select("script[src]")]
    assert not any("live-" in name for name in scripts)


def test_a_figure_without_words_and_an_unknown_one_fail_the_build(site):
    assert "live 'perceptron' with alt ''" in site.complaints
    assert f"live 'x' with alt 'A': expected one of {[*live.BUTTONS]}" in site.complaints
