"""The page in a real browser: that it works, by mouse and by keys, and that all can read it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Show = Callable[..., Any]


#: The table whose caption has this id, and the place of a column in it.
_TABLE = """
const table = document.getElementById("%s-caption").closest("table");
const names = [...table.tHead.rows[0].cells];
const at = names.findIndex(cell => cell.textContent === "%s");
"""


def column(tab: Any, key: str, name: str) -> list[str]:
    """The cells below a heading, from the top."""
    rows = "return [...table.tBodies[0].rows].map(row => row.cells[at].textContent);"
    found: list[str] = tab.run(f"(() => {{ {_TABLE % (key, name)} {rows} }})()")
    return found


def focus_heading(tab: Any, key: str, name: str) -> None:
    """Put the focus on what sorts by a column."""
    focus = 'names[at].querySelector("button").focus();'
    tab.run(f"(() => {{ {_TABLE % (key, name)} {focus} }})()")


def sorted_by(tab: Any, key: str, name: str) -> str | None:
    """What the heading says of the order."""
    how: str | None = tab.run(
        f'(() => {{ {_TABLE % (key, name)} return names[at].getAttribute("aria-sort"); }})()'
    )
    return how


def view(tab: Any) -> tuple[float, float]:
    """From when to when the timeline shows."""
    tab.settle()
    shown = tab.run('({...document.getElementById("lanes").dataset})')
    return float(shown["from"]), float(shown["to"])


def place(tab: Any) -> tuple[float, float, float]:
    """Left, top and width of the lanes in the window, having scrolled to them."""
    tab.run('document.getElementById("frame").scrollIntoView({behavior: "instant"})')
    tab.settle()
    box = tab.run('document.getElementById("lanes").getBoundingClientRect().toJSON()')
    return box["left"], box["top"], box["width"]


def tip(tab: Any) -> str:
    """What is told of a bar; nothing where nothing is."""
    told: str = tab.run(
        """(tip => tip.hidden ? "" : tip.textContent)(document.getElementById("tip"))"""
    )
    return told


def focus_lanes(tab: Any) -> None:
    """As a click or the tabulator does."""
    tab.run('document.getElementById("lanes").focus()')


def test_it_opens_without_a_complaint_and_without_the_network(show: Show, page: Path) -> None:
    """Nothing on the console, no refusal of its own policy, and only the file itself is read."""
    tab = show(page)
    complaints = tab.happened("Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    asked = [event["request"]["url"] for event in tab.happened("Network.requestWillBeSent")]

    assert complaints + tab.happened("Log.entryAdded") == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert page.stat().st_size < 10_000_000


def test_names_of_a_trace_do_no_harm(show: Show, page: Path) -> None:
    """They are there to be read, and their markup is not."""
    tab = show(page)

    assert tab.run("document.title") == "tiny: ran, model – Thinwire"
    assert any("onerror" in name for name in column(tab, "operations", "name"))
    assert tab.run('document.querySelectorAll("img[src=x]").length') == 0


def test_a_script_that_is_not_the_pages_own_does_not_run(show: Show, page: Path) -> None:
    """Even if one got in."""
    tab = show(page)
    tab.run(
        """(() => { const script = document.createElement("script");
        script.textContent = "document.title = 'taken'"; document.body.append(script); })()"""
    )

    assert tab.run("document.title") != "taken"
    assert any("Content Security" in e["entry"]["text"] for e in tab.happened("Log.entryAdded"))


def test_nothing_can_be_fetched(show: Show, page: Path) -> None:
    """The policy refuses any address."""
    refused = 'fetch("https://example.org/").then(() => "got", () => "refused")'

    assert show(page).run(refused) == "refused"


def test_tables_sort_by_keys_and_by_mouse(show: Show, page: Path) -> None:
    """Numbers by size, there and back; headings tell the order, one at a time."""
    tab = show(page)
    assert column(tab, "totals", "total") == ["36.0 s", "27.0 s"]
    focus_heading(tab, "totals", "total")
    tab.press("Enter")
    assert column(tab, "totals", "total") == ["27.0 s", "36.0 s"]
    assert sorted_by(tab, "totals", "total") == "ascending"
    tab.press(" ")
    assert column(tab, "totals", "total") == ["36.0 s", "27.0 s"]
    assert sorted_by(tab, "totals", "total") == "descending"
    focus_heading(tab, "totals", "trace")
    box = tab.run("document.activeElement.getBoundingClientRect().toJSON()")
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse("Pressed", *at, button="left", clickCount=1)
    tab.mouse("Released", *at, button="left", clickCount=1)
    assert column(tab, "totals", "trace") == ["model", "ran"]
    assert (sorted_by(tab, "totals", "total"), sorted_by(tab, "totals", "trace")) == (
        *(None, "ascending"),
    )


def test_a_table_can_be_taken_along(show: Show, page: Path) -> None:
    """The link holds a file, with a name and the numbers in full."""
    links = show(page).run(
        """[...document.querySelectorAll("a[download]")].map(a => [a.download,
        new TextDecoder().decode(Uint8Array.from(atob(a.href.split(",")[1]), c => c.charCodeAt()))])
        """
    )

    files = dict(links)
    assert files.keys() >= {"totals.csv", "ranks.csv", "layers.csv", "bars-numbers.csv"}
    assert files["totals.csv"].startswith("trace,evidence,total_s,speedup")
    assert files["bars-numbers.csv"] == "subject,x\na,3\na,1\na,2\n"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("+", (9.0, 27.0)),
        ("++", (13.5, 22.5)),
        ("++-", (9.0, 27.0)),
        ("+0", (0.0, 36.0)),
        (["+", "ArrowLeft"], (4.5, 22.5)),
        (["+", "ArrowRight", "ArrowRight", "ArrowRight"], (18.0, 36.0)),
    ],
)
def test_keys_zoom_and_move_the_timeline(
    show: Show, page: Path, keys: list[str], expected: tuple[float, float]
) -> None:
    """Within the run, which takes 36 seconds."""
    tab = show(page)
    focus_lanes(tab)
    assert view(tab) == pytest.approx((0.0, 36.0))
    for key in keys:
        tab.press(key)

    assert view(tab) == pytest.approx(expected)
    assert tab.run('document.getElementById("view").textContent').startswith("In view: ")


def test_keys_walk_along_the_operations_and_tell_of_each(show: Show, page: Path) -> None:
    """Kind, start, duration and bytes; aloud as well."""
    tab = show(page)
    focus_lanes(tab)
    tab.press("n")
    assert tip(tab).splitlines()[:4] == [
        *("qkv (compute)", "rank 0, compute, step 0, layer 0", "start 0 s", "duration 2.00 s")
    ]
    tab.press("n")
    assert tip(tab).startswith("kv (wait)")
    tab.press("p")
    tab.press("ArrowDown")
    tab.press("n")
    assert "all_gather" in tip(tab)
    assert "bytes 4.10 kB, on the wire 8.19 kB" in tip(tab)
    spoken = tab.run('document.getElementById("told").textContent')
    assert spoken == tip(tab).replace("\n", "; ")
    tab.press("Enter")
    start, end = view(tab)
    assert end - start < 36.0
    tab.press("Escape")
    assert tip(tab) == ""


def test_the_mouse_points_drags_and_zooms(show: Show, page: Path) -> None:
    """What is under it is told; the wheel zooms at it, and dragging moves the view."""
    tab = show(page)
    left, top, width = place(tab)
    scale = (width - 112) / 36.0
    first_lane = top + 47
    tab.mouse("Moved", left + 112 + 1.0 * scale, first_lane)
    assert tip(tab).startswith("qkv (compute)\nrank 0, compute, step 0, layer 0")
    tab.mouse("Moved", left + 112 + 3.0 * scale, first_lane)
    assert tip(tab).startswith("kv (wait)")
    at = left + 112 + 9.0 * scale
    tab.mouse("Wheel", at, first_lane, deltaX=0, deltaY=-400, modifiers=2)
    zoomed = view(tab)
    assert zoomed[1] - zoomed[0] < 30.0
    assert (9.0 - zoomed[0]) / (zoomed[1] - zoomed[0]) == pytest.approx(0.25, abs=0.01)
    tab.mouse("Pressed", at, first_lane, button="left", clickCount=1)
    tab.mouse("Moved", at - 50, first_lane, button="left", buttons=1)
    tab.mouse("Released", at - 50, first_lane, button="left", clickCount=1)
    assert view(tab)[0] > zoomed[0]


def test_a_wheel_that_passes_over_the_timeline_scrolls_the_page(show: Show, page: Path) -> None:
    """Until the timeline has the focus."""
    tab = show(page)
    left, top, _ = place(tab)
    tab.mouse("Wheel", left + 300, top + 40, deltaX=0, deltaY=-200)
    assert view(tab) == pytest.approx((0.0, 36.0))
    focus_lanes(tab)
    left, top, _ = place(tab)
    tab.mouse("Wheel", left + 300, top + 40, deltaX=0, deltaY=-200)
    assert view(tab)[1] < 36.0


def test_runs_can_be_chosen(show: Show, page: Path) -> None:
    """What is not shown takes no room, and the time axis fits what is."""
    tab = show(page)
    height = 'document.getElementById("lanes").getBoundingClientRect().height'
    both = tab.run(height)
    tab.run('document.querySelectorAll("#traces input")[0].click()')
    assert view(tab) == pytest.approx((0.0, 27.0))
    assert tab.run(height) < 0.6 * both


def brightness(tab: Any, element: str) -> float:
    """Of what is behind an element, from 0 to 255."""
    colour = tab.run(f'getComputedStyle(document.querySelector("{element}")).backgroundColor')
    channels = [float(channel) for channel in re.findall(r"[\d.]+", colour)[:3]]
    return sum(channels) / 3


#: How bright the timeline's canvas is in its corner.
_CORNER = 'document.getElementById("lanes").getContext("2d").getImageData(1, 1, 1, 1).data[0]'


def corner(tab: Any) -> int:
    """From 0 to 255."""
    found: int = tab.run(_CORNER)
    return found


def test_it_is_dark_where_that_is_preferred_and_can_be_switched(show: Show, page: Path) -> None:
    """The page and the canvas both; and paper is always white."""
    tab = show(page, "dark")
    assert brightness(tab, "body") < 50
    assert corner(tab) < 50
    assert tab.run("document.getElementById('scheme').getAttribute('aria-pressed')") == "true"
    tab.run("document.getElementById('scheme').click()")
    tab.settle()
    assert brightness(tab, "body") == 255
    assert corner(tab) == 255
    tab.run("document.getElementById('scheme').click()")
    tab.prefer("dark", media="print")
    assert brightness(tab, "body") == 255


def test_it_prints(show: Show, page: Path) -> None:
    """Without its controls, and with white paper behind the timeline."""
    tab = show(page, "dark")
    tab.run(f'addEventListener("beforeprint", () => {{ window.printed = {_CORNER}; }})')
    made = tab.ask("Page.printToPDF", printBackground=True)
    tab.settle()

    assert len(made["data"]) > 20_000
    assert tab.run("window.printed") == 255
    assert corner(tab) < 50  # and dark again after it


def test_on_a_narrow_screen_nothing_sticks_out(show: Show, page: Path) -> None:
    """Wide tables scroll by themselves."""
    tab = show(page)
    tab.size(360, 700)
    tab.settle()

    assert tab.run("document.documentElement.scrollWidth") <= 360
