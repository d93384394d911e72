"""Network files that are written: they read back to the bit, or are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.network.collectives.named import selection
from simnet.network.conditions.conditions import Conditions, Straggler
from simnet.network.files import load
from simnet.network.topology import Links, Medium
from simnet.network.writing import dump_links, save_links
from traces.errors import InputError

positive = st.floats(1e-3, 1e15)
times = st.one_of(st.just(0.0), st.floats(1e-15, 1e3))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.one_of(texts, st.integers(-(2**60), 2**60), st.floats(-1e9, 1e9), st.booleans())


@given(
    kind=st.sampled_from([Links, Medium]),
    rates=st.tuples(*[st.one_of(positive, st.just(math.inf))] * 2),
    costs=st.tuples(times, times, times),
    source=st.dictionaries(texts, st.one_of(values, st.lists(values, max_size=3)), max_size=3),
)
def test_what_is_written_reads_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory,
    kind: type[Any],
    rates: tuple[float, float],
    costs: tuple[float, float, float],
    source: dict[str, Any],
) -> None:
    """Every float, and every character of what is said of it."""
    chosen = selection("nccl,all_gather@0.93")
    source = source | {"more": {"rate": 0.1, "text": "a"}}
    expected = kind("it's", rates[0], *costs, chosen, cap_bps=rates[1], source=source)
    path = tmp_path_factory.getbasetemp() / "written.toml"
    save_links(expected, path)

    found = load(path)
    assert (found, found.source) == (expected, source)


def test_a_written_file_has_units_and_no_more_than_it_needs() -> None:
    """For people to read, and to change."""
    text = dump_links(Links("lab", 0.94e9, 50e-6, source={"fit": "1 % off"}))

    rest = '[links]\nrate = "940Mbit/s"\nlatency = "50us"\n\n[source]\nfit = "1 % off"\n'
    assert text == f'name = "lab"\n\n{rest}'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {"fit": {"off": math.nan}}}, r"source.fit.off is nan, which cannot be written"),
        ({"source": {"points": [1.0, math.inf]}}, r"source.points is inf"),
        ({"source": {"on": None}}, r"source.on is None"),
        (
            {"conditions": Conditions(stragglers=(Straggler(0, 2.0),))},
            r"network 'lab' has conditions \(straggler 0:2\), which are not written",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(change: dict[str, Any], message: str) -> None:
    """Rather than left out, or written so that nobody can read it."""
    with pytest.raises(InputError, match=message):
        dump_links(replace(Links("lab", 1e9), **change))


def test_tables_in_lists_of_a_source_are_written_too(tmp_path: Path) -> None:
    """As TOML has them, in one line."""
    source = {"points": [{"bytes": 1, "more than": [0.5, "x"]}, {}]}
    path = tmp_path / "lab.toml"
    save_links(Links("lab", 1e9, source=source), path)

    assert load(path).source == source
