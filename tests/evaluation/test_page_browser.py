"""The pages in a real browser: nothing is asked of the network, nothing overflows, keys reach everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from timeloom.evaluation.exhibits import ClassMatrix, Exhibits, Neighbours, TokenUse
from timeloom.evaluation.page import write_comparison_page, write_page
from timeloom.evaluation.results import Measure, Results, Verdict

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SIZES = [(360, 740), (768, 1024), (1280, 800)]
LONG = "a_very_long_name_without_a_single_space_that_would_widen_a_phone_" * 2
# Text whose box is smaller than its content and hides the rest; the words for screen readers are hidden by intent.
CLIPPED = """() => [...document.querySelectorAll("body *")].filter(e => {
  const style = getComputedStyle(e);
  const hides = ["hidden", "clip"].includes(style.overflowX) && !(e instanceof SVGElement);
  return hides && !e.classList.contains("unseen") && e.scrollWidth > e.clientWidth + 1;
}).map(e => e.outerHTML.slice(0, 120))"""
OUTSIDE = """() => [...document.querySelectorAll("svg[aria-label] text")].filter(t => {
  const box = t.getBoundingClientRect(), frame = t.ownerSVGElement.getBoundingClientRect();
  return box.width && (box.left < frame.left - 2 || box.right > frame.right + 2 ||
                       box.top < frame.top - 2 || box.bottom > frame.bottom + 2);
}).map(t => t.textContent)"""
SILENT = """() => [...document.querySelectorAll("figure svg, figure img")].filter(e =>
  e.getAttribute("aria-hidden") !== "true" && !(e.getAttribute("alt") || e.getAttribute("aria-label"))).length"""


def make_report(sines: Callable) -> Results:
    X, y = sines(30, seed=0)
    X_test, y_test = sines(40, seed=1)
    X_synthetic, y_synthetic = sines(30, seed=2)
    rng = np.random.default_rng(0)
    codes = rng.dirichlet(np.ones(16), 2)
    exhibits = Exhibits(
        X, y, X_test, y_test, X_synthetic, y_synthetic,
        neighbours=Neighbours(rng.integers(0, 30, 30), rng.uniform(1, 3, 30), 1.2),
        class_matrix=ClassMatrix(np.unique(y), {"real": np.eye(2), "synthetic": np.full((2, 2), 0.5)}),
        tokens=TokenUse(codes, codes[:, ::-1], np.linspace(3, 1, 5), np.linspace(0.1, 0.9, 5)),
    )  # fmt: skip
    return Results(
        protocol="honest",
        metrics={
            "distance": Measure(1234.5678, 0.51234, 0.25, (1000.123, 1500.456), "lower", None, (0.25, 0.75)),
            LONG: Measure(None, None, None, None, "higher", LONG),
        },
        seconds_parts={"training": 1.0},
        versions={"numpy": "2.0"},
        counts={"train": 30, "test": 40, "synthetic": 30},
        warnings=[LONG],
        families={"distance": "fidelity"},
        verdicts=[Verdict("fidelity", "good", LONG, [("distance", "good", LONG)])],
        exhibits=exhibits,
        data=LONG,
        synthetic=LONG,
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, sines: Callable) -> dict[str, Path]:
    """One page of each kind, with names that are hard to lay out."""
    folder = tmp_path_factory.mktemp("pages")
    report = make_report(sines)
    write_page(folder / "report.html", report, {"distance": "How far apart the two sets lie. " * 3})
    write_comparison_page(folder / "comparison.html", {"first": report, LONG: replace(report, verdicts=[])})
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_a_page_is_quiet_whole_and_described(
    browser: Any, pages: dict[str, Path], kind: str, size: tuple[int, int]
) -> None:
    tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    address = pages[kind].as_uri()
    tab.goto(address)
    tab.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert tab.evaluate(CLIPPED) == []
    assert tab.evaluate(OUTSIDE) == []
    assert tab.locator("figure svg[role=img]").count() >= 4
    assert tab.evaluate(SILENT) == 0
    assert tab.locator("figure").count() == tab.locator("figure > figcaption").count()
    ids = tab.evaluate("() => [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    levels = tab.evaluate("() => [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert tab.get_attribute("html", "lang") == "en"
    tab.close()


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_keys_reach_the_skip_link_the_contents_and_the_tables(browser: Any, pages: dict[str, Path], kind: str) -> None:
    tab = browser.new_page(viewport={"width": 360, "height": 740})
    tab.goto(pages[kind].as_uri())
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        focus = tab.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
            return {what: e.className || e.getAttribute('href') || e.tagName, role: e.getAttribute('role'),
                    outline: s.outlineStyle, width: parseFloat(s.outlineWidth), top: b.top, label: e.ariaLabel}; }"""
        )
        if focus["what"] == "BODY":
            break
        assert focus["outline"] != "none", focus
        assert focus["width"] >= 2, focus
        reached.append(focus)
    assert reached[0]["what"] == "skip"
    assert reached[0]["top"] >= 0
    links = tab.evaluate("() => [...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))")
    assert links == [focus["what"] for focus in reached[1 : 1 + len(links)]]
    regions = [focus for focus in reached if focus["role"] == "region"]
    assert len(regions) == tab.locator("main > .scroll").count() >= 1
    assert all(focus["label"] for focus in regions)
    tab.locator("main > .scroll").last.focus()
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function("() => [...document.querySelectorAll('main > .scroll')].pop().scrollLeft > 0")
    tab.close()


def test_the_skip_link_and_the_contents_lead_to_their_places(browser: Any, pages: dict[str, Path]) -> None:
    tab = browser.new_page(viewport={"width": 768, "height": 740})
    tab.goto(pages["report"].as_uri())
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    tab.click("nav a[href='#copies']")
    assert 0 <= tab.evaluate("document.getElementById('copies').getBoundingClientRect().top") < 740
    tab.close()


def test_the_page_stays_light_in_the_dark(browser: Any, pages: dict[str, Path]) -> None:
    tab = browser.new_page(color_scheme="dark")
    tab.goto(pages["report"].as_uri())
    colours = tab.evaluate(
        "() => [getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert colours == ["rgb(255, 255, 255)", "rgb(29, 39, 51)"]
    tab.close()
