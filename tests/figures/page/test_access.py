"""That everybody can read the page: names, order, focus and contrast, in both schemes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Show = Callable[..., Any]
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])

#: Texts whose colour is too near to what is behind them: WCAG 2.2, 1.4.3, level AA.
_FAINT = """(() => {
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => numbers(colour).slice(0, 3)
  .map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const clear = (colour) => { const all = numbers(colour); return all.length > 3 && all[3] < 1; };
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!clear(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
for (const each of document.querySelectorAll("details")) each.open = true;
const faint = [];
let seen = 0;
for (const element of document.body.querySelectorAll("*:not(script):not(noscript)")) {
  const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const [one, other] = [light(style.color), light(behind(element))].sort((a, b) => b - a);
  const ratio = (one + .05) / (other + .05), large = parseFloat(style.fontSize) >= 24;
  seen += 1;
  if (ratio < (large ? 3 : 4.5)) faint.push(`${element.outerHTML.slice(0, 60)}: ${ratio}`);
}
return [seen, faint]; })()"""

#: The contrast of two of the timeline's colours.
_CONTRAST = """((one, other) => {
const probe = document.body.appendChild(document.createElement("i"));
const light = (name) => { probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0); };
const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
return (high + .05) / (low + .05); })("%s", "%s")"""


@SCHEMES
def test_every_text_stands_out_from_what_is_behind_it(show: Show, page: Path, scheme: str) -> None:
    """4.5 to 1, or 3 to 1 where it is large."""
    seen, faint = show(page, scheme).run(_FAINT)

    assert seen > 100
    assert faint == []


@SCHEMES
def test_the_timelines_colours_stand_out(show: Show, page: Path, scheme: str) -> None:
    """Names on their bars as texts do; bars, and the mark of the focus, as WCAG 1.4.11 asks."""
    tab = show(page, scheme)

    for pair in (("on-compute", "compute"), ("on-transfer", "transfer"), ("ink", "paper")):
        assert tab.run(_CONTRAST % pair) >= 4.5, pair
    for name in ("compute", "wait", "transfer", "focus"):
        assert tab.run(_CONTRAST % (name, "paper")) >= 3.0, name


def test_headings_are_in_order_and_parts_have_names(show: Show, page: Path) -> None:
    """One title, no level left out, and a language to read it in."""
    tab = show(page)
    levels = tab.run('[...document.querySelectorAll("h1,h2,h3,h4")].map(h => +h.tagName[1])')

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tab.run("document.documentElement.lang") == "en"
    assert tab.run('document.querySelectorAll("main").length') == 1


#: What should have a name, and an expression that is true of one without.
_NAMELESS = {
    "img": "!e.alt.trim()",
    "input": "!e.labels[0]?.textContent.trim()",
    "button, a[href]": "!e.textContent.trim()",
    "table": "!e.caption?.textContent.trim()",
    "th": "!e.scope",
    "[role=region], section": "!document.getElementById(e.getAttribute('aria-labelledby'))",
    "canvas[tabindex]": "!e.getAttribute('aria-label')",
    "[aria-describedby]": "!document.getElementById(e.getAttribute('aria-describedby'))",
    "nav a, .skip": "!document.querySelector(e.getAttribute('href'))",
    "[id]": "document.querySelectorAll('#' + CSS.escape(e.id)).length > 1",
}


def test_everything_has_a_name(show: Show, page: Path) -> None:
    """That a screen reader can say; and what is referred to is there, once."""
    tab = show(page)

    for what, nameless in _NAMELESS.items():
        found = f'[...document.querySelectorAll("{what}")]'
        assert tab.run(f"{found}.length") > 0, what
        assert tab.run(f"{found}.filter(e => {nameless}).map(e => e.outerHTML)") == [], what


def test_the_tabulator_reaches_all_there_is_to_use(show: Show, page: Path) -> None:
    """In the order of the page, and it leaves the timeline again."""
    tab = show(page)
    reached = []
    for _ in range(80):
        tab.press("Tab")
        reached.append(
            tab.run(
                "(e => e.id || e.dataset.move || e.download || e.className || e.tagName)"
                "(document.activeElement)"
            )
        )
        if reached[-1] == "layers.csv":
            break

    order = [reached.index(name) for name in ("skip", "scheme", "totals.csv", "in", "lanes")]
    assert order == sorted(order)
    assert order[0] == 0
    assert "layers.csv" in reached[order[-1] :]


def test_what_has_the_focus_is_seen(show: Show, page: Path) -> None:
    """By a line around it; around the timeline's frame for the timeline."""
    tab = show(page)
    for _ in range(60):
        tab.press("Tab")
        outline = tab.run(
            """(e => getComputedStyle(e.closest(".frame") ?? e).outlineStyle)
            (document.activeElement)"""
        )
        assert outline == "solid"
        if tab.run("document.activeElement.id") == "lanes":
            return
    pytest.fail("the timeline was not reached")
