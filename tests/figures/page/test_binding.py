"""The page as a file: what it says, that it can be trusted, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from figures.catalogue import Made, Skipped
from figures.page import binding, pictures
from figures.page.subject import Subject, subject
from traces.errors import InputError, TraceError
from traces.trace import Trace

Toy = Callable[..., Trace]
COMMAND = ["thinwire", "report", "a b", "--out", "r.html"]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


class Reader(HTMLParser):
    """Collects tags with their attributes, and texts by the tag that they are in."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        self.texts.append((self.tags[-1][0] if self.tags else "", data))


def made(name: str = "bars", rows: int = 3) -> Made:
    """A figure with nothing in it."""
    table = pd.DataFrame({"subject": "a", "x": range(rows)})
    return Made(name, "Bars", "They rise.", "predicted", table, Figure((4, 2)), "thinwire figures")


def bound(figures: list[Made | Skipped] | None = None, **traces: Trace) -> bytes:
    """The page of these traces."""
    subjects = {name: subject(name, trace, trace) for name, trace in traces.items()}
    return binding.page(subjects, figures or [], COMMAND)


def text(page: bytes) -> str:
    """All that is read, with single spaces."""
    seen = [part for tag, part in Reader(page).texts if tag not in ("script", "style")]
    return re.sub(r"\s+", " ", " ".join(seen))


def renamed(trace: Trace, **fields: Any) -> Trace:
    """The same operations under another header."""
    return Trace(replace(trace.run, **fields), trace.ops)


def test_it_says_what_was_run_and_what_came_of_it(toy: Toy) -> None:
    """Thirty seconds, six of them waiting; then without waiting, faster."""
    page = text(bound(slow=toy(), fast=toy(gather_s=2.0)))

    assert "tiny: slow, fast" in page
    assert "1 image, 3 steps, 2 ranks; times are measured." in page
    assert "takes 30.0 s, 20% of it waiting for the network (gather on wire)." in page
    assert "takes 24.0 s, 0% of it waiting" in page
    assert "1.25 times as fast as slow." in page
    for field in ("device", "seed", "driver", "thinwire 0", "thinwire report 'a b' --out r.html"):
        assert field in page


def test_a_comparison_of_a_measurement_with_a_prediction_says_so(toy: Toy) -> None:
    """They are worth different things."""
    predicted = renamed(toy(gather_s=2.0), driver="simulated", device="other")
    told = "1.25 times as fast as ran (predicted against measured, other against toy)."

    assert told in text(bound(ran=toy(), model=predicted))


def test_the_same_traces_give_the_same_bytes(toy: Toy) -> None:
    """Nothing in it depends on chance or on when it was made."""
    first, second = (bound([made()], one=toy(), two=toy(gather_s=4.0)) for _ in range(2))

    assert first == second


def test_it_refers_to_no_other_file_and_allows_none(toy: Toy) -> None:
    """Every address is in the page or is data; the policy has no source but the page itself."""
    page = bound([made()], one=toy())
    tags = Reader(page).tags
    addresses = [
        value
        for _, attributes in tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset") and value is not None
    ]
    [policy] = [a["content"] for _, a in tags if "http-equiv" in a]

    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert b"url(" not in page
    assert b"@import" not in page


def test_texts_of_a_trace_stay_texts(toy: Toy) -> None:
    """In headings, cells, commands, the script's data and in titles of figures."""
    trace = toy(steps=1, layers=1)

    def of(name: str) -> bytes:
        run = replace(trace.run, network=name, device=name, schedule=name)
        named = Subject(Trace(run, trace.ops.assign(name=name)), 1, (name,))
        figure = replace(made(), title=name, sentence=name, command=name)
        return binding.page({"a": named}, [figure], COMMAND)

    page, plain = of(HOSTILE), of("plain")

    assert [tag for tag, _ in Reader(page).tags] == [tag for tag, _ in Reader(plain).tags]
    assert not any("onerror" in attributes for _, attributes in Reader(page).tags)
    [data] = re.findall(rb'<script type="application/json" id="data">(.*?)</script>', page)
    assert json.loads(data)[0]["whats"][0][1] == HOSTILE
    assert HOSTILE in text(page).replace("  ", " ")


def test_what_an_incomplete_recording_lacks_is_told(toy: Toy) -> None:
    """And its total is compared with no other."""
    part = Subject(toy(), 8, ("rank 1: killed",))
    page = binding.page({"all": Subject(toy(steps=8), 8), "part": part}, [], COMMAND)

    assert "Incomplete recordings." in text(page)
    assert "rank 1: killed" in text(page)
    assert "(of 8 that there were to be)" in text(page)
    assert "times as fast" not in text(page)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": "large"}, "model is 'tiny' and 'large'"),
        ({"images": 4}, "images is 1 and 4"),
        ({"steps": 5}, "steps is 3 and 5"),
    ],
)
def test_runs_of_different_work_are_refused(toy: Toy, fields: dict[str, Any], told: str) -> None:
    """Their times say nothing about each other."""
    with pytest.raises(InputError, match=f"one and two are runs of different work.*{told}"):
        bound(one=toy(), two=renamed(toy(), **fields))


def test_a_trace_in_which_nothing_happened_is_refused(toy: Toy) -> None:
    """By its name."""
    trace = toy()
    transfers = Trace(trace.run, trace.ops[trace.ops["stream"] != "compute"])
    with pytest.raises(TraceError, match=r"^empty: no rank computed or waited"):
        bound(empty=transfers)


def test_a_figure_is_an_image_with_words_its_numbers_and_its_command(toy: Toy) -> None:
    """And says what it is worth."""
    page = bound([made()], one=toy())
    [image] = [attributes for tag, attributes in Reader(page).tags if tag == "img"]

    assert str(image["src"]).startswith("data:image/svg+xml;base64,")
    assert image["alt"] == "Bars (predicted). They rise. The table below has the numbers."
    assert (image["width"], image["height"]) == ("384", "192")
    assert "Numbers of: Bars" in text(page)


def test_a_drawing_of_many_marks_is_an_image_of_pixels() -> None:
    """Which is smaller, and quicker to show."""
    crowded = made()
    crowded.figure.subplots().scatter(range(9000), range(9000))

    assert pictures.picture(crowded).address.startswith("data:image/png;base64,")


def test_figures_that_cannot_be_had_are_named_with_the_reason(toy: Toy) -> None:
    """So that nobody looks for them."""
    page = text(bound([Skipped("spectra", "Spectra", "nothing was kept")], one=toy()))

    assert "Figures that are not here, and why" in page
    assert "Spectra : nothing was kept" in page


def test_figures_for_which_there_is_no_room_are_left_out_and_named(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that draws them."""
    monkeypatch.setattr(pictures, "MOST_BYTES", pictures.picture(made()).nbytes + 100)
    page = bound([made("first"), made("second")], one=toy())

    assert [tag for tag, _ in Reader(page).tags].count("img") == 1
    assert "no room on this page; thinwire figures draws it" in text(page)


def test_a_page_that_would_be_too_large_is_refused(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its size, and what to do."""
    monkeypatch.setattr(binding, "MOST_BYTES", 20_000)
    with pytest.raises(InputError, match=r"would be 0\.\d MB, .* give fewer traces"):
        bound(one=toy())
