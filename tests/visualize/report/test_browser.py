# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, with a real keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import PROGRAM, Browser
from run_folders import explanation, segmentation_run

from monai_dino.visualize.report import write_run_report

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed (apt-get install chromium)")

# Text on its background: WCAG 2.1 asks for a ratio of 4.5.
CONTRAST = """(() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const found = getComputedStyle(e).backgroundColor;
      if (found.startsWith("rgb") && (parts(found)[3] ?? 1) === 1) return parts(found);
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const e of document.querySelectorAll("p, li, td, th, a, h1, h2, h3, h4, summary, strong, span, output, code")) {
    if (!e.textContent.trim() || !e.checkVisibility() || e.closest(".confusion td, .arrow, svg, .skip")) continue;
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${e.tagName} ${e.className} ${e.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return low;
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    run_dir = segmentation_run(folder / "run", folder / "data")
    explanation(run_dir)
    return write_run_report(run_dir, dataset_dir=folder / "data", cases=1)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


def test_it_opens_without_errors_and_asks_for_nothing(opened: Browser, page: Path) -> None:
    assert opened.run("document.querySelector('h1').textContent") == "run"
    assert not opened.named("Runtime.exceptionThrown")
    assert not opened.named("Log.entryAdded")
    assert not opened.named("Runtime.consoleAPICalled")
    asked = {event["request"]["url"].partition(",")[0] for event in opened.named("Network.requestWillBeSent")}
    assert asked <= {page.as_uri(), "data:image/webp;base64"}
    sizes = opened.run("[...document.images].map((i) => i.complete && i.naturalWidth)")
    assert sizes
    assert all(sizes)


def test_the_policy_forbids_to_fetch(opened: Browser) -> None:
    opened.run("document.body.append(Object.assign(new Image(), {id: 'spy', src: 'file:///elsewhere.png'}))")
    opened.run("document.getElementById('spy').remove()")
    assert any("Content Security Policy" in e["entry"]["text"] for e in opened.named("Log.entryAdded"))


def test_the_keyboard_sorts_a_table(opened: Browser) -> None:
    table = "[...document.querySelectorAll('table')].find((t) => t.caption?.textContent.startsWith('Cases of'))"
    opened.run(f"window.cases = {table}; cases.closest('details').open = true; undefined")
    heads = opened.run("[...cases.tHead.rows[0].cells].map((c) => c.textContent)")
    for column, rising in (("dice", ["case4", "case5"]), ("hd95", ["case5", "case4"])):
        number = heads.index(column)
        opened.run(f"cases.tHead.rows[0].cells[{number}].querySelector('button').focus()")
        for state, order in (("ascending", rising), ("descending", ["case5", "case4"])):
            opened.press("Enter")
            assert opened.run(f"cases.tHead.rows[0].cells[{number}].getAttribute('aria-sort')") == state
            # The case that was missed has no HD95, and stays last both ways.
            assert opened.run("[...cases.tBodies[0].rows].map((r) => r.cells[0].textContent)") == order
        assert opened.run("cases.querySelectorAll('[aria-sort=none]').length") == len(heads) - 1
    assert opened.run("document.getElementById('announcer').textContent") == "sorted by hd95, falling"


def test_the_keyboard_moves_through_slices_and_hides_masks(opened: Browser) -> None:
    opened.run("window.viewer = document.querySelector('.viewer'); viewer.querySelector('.slider').focus()")
    seen = "(s) => getComputedStyle(s).display !== 'none'"
    shown = f"[...viewer.querySelectorAll('.slice')].filter({seen}).map((s) => s.dataset.label)"
    assert len(opened.run(shown)) == 1
    opened.press("Home")
    first = opened.run(shown)
    opened.press("ArrowRight")
    second = opened.run(shown)
    assert len(first) == len(second) == 1
    assert first != second
    assert opened.run("viewer.querySelector('output').textContent") == second[0]
    assert second[0] in opened.run("viewer.querySelector('svg').getAttribute('aria-label')")
    opened.press("End")
    assert opened.run(shown) == opened.run("[[...viewer.querySelectorAll('.slice')].at(-1).dataset.label]")
    masks = "[...viewer.querySelectorAll('.mask.truth')].filter((m) => !m.hasAttribute('hidden')).length"
    assert opened.run(masks) > 0
    opened.run("viewer.querySelector('[data-mask=truth]').focus()")
    opened.press(" ")
    assert opened.run(masks) == 0
    opened.press(" ")
    assert opened.run(masks) > 0


def test_the_keyboard_reads_a_curve(opened: Browser) -> None:
    opened.run("window.chart = document.querySelector('.chart'); chart.querySelector('.plot').focus()")
    opened.press("ArrowRight")
    assert opened.run("chart.querySelector('.readout').textContent") == "epoch 1: loss 1"
    opened.press("ArrowRight")
    assert opened.run("chart.querySelector('.readout').textContent") == "epoch 2: loss undefined"
    opened.press("End")
    assert opened.run("chart.querySelector('.readout').textContent") == "epoch 5: loss 0.2"
    opened.press("ArrowRight")  # stays
    assert opened.run("chart.querySelector('.readout').textContent") == "epoch 5: loss 0.2"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_it_can_be_read_on_any_screen(width: int, dark: bool, browser: Browser, page: Path) -> None:
    browser.open(page, width, dark)
    assert browser.run("matchMedia('(prefers-color-scheme: dark)').matches") is dark
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width  # wide tables scroll in boxes of their own
    assert browser.run(CONTRAST) == []
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the content"
    browser.press("Enter")
    assert browser.run("location.hash") == "#content"
