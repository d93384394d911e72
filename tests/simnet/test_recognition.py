"""Which of our schedules a recorded program follows, told from what it sends alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from simnet.cli import BAD_INPUT, OK, call
from simnet.costs import Free
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import network
from simnet.recognition.recognise import recognise
from simnet.recognition.traffic import connected
from simnet.schedules.named import schedule
from traces.errors import InputError
from traces.trace import Trace

Strip = Callable[..., Trace]
#: A schedule, a model that tells it apart from others, and how many ranks.
CASES = [
    ("ring", "dit-nano", 3),
    ("ring", "mmdit-tiny", 4),
    ("ulysses", "dit-nano", 4),
    ("ulysses", "mmdit-tiny", 2),
    ("usp:ulysses=2", "dit-nano", 4),
    ("patch", "dit-nano", 4),
    ("distrifusion:warmup_steps=1", "dit-nano", 4),
    ("distrifusion:warmup_steps=3", "dit-nano", 2),
    ("pipefusion", "dit-nano", 2),
    ("tensor", "dit-nano", 4),
    ("tensor", "crossdit-tiny", 2),
    ("expert", "dit-moe-nano", 4),
    ("displaced-expert", "dit-moe-nano", 4),
    ("interweaved", "dit-moe-nano", 4),
    ("cfg+ring", "crossdit-tiny", 4),
    ("data:images=2+ulysses", "dit-nano", 4),
]


@cache
def run_of(spec: str, model: str, ranks: int) -> Trace:
    """Six steps, as simulated with no costs."""
    return simulate(schedule(spec), Job(model, ranks, 6), Free(), network("ethernet-1g"))


@pytest.mark.parametrize(("spec", "model", "ranks"), CASES)
def test_a_schedule_and_its_model_are_found_by_kinds_counts_and_sizes(
    stripped: Strip, spec: str, model: str, ranks: int
) -> None:
    """Without names, shapes or what was run, but with layers."""
    found = recognise(stripped(run_of(spec, model, ranks)))
    assert (found.schedule, found.model, found.fits) == (spec, model, True)
    assert found.evidence
    assert found.against == ()


@pytest.mark.parametrize(("spec", "model", "ranks"), CASES)
def test_without_layers_a_named_model_helps(
    stripped: Strip, spec: str, model: str, ranks: int
) -> None:
    """How many transfers there are in a layer, and what one image's volume is, follow from it."""
    seen = stripped(run_of(spec, model, ranks))
    flat = Trace(seen.run, seen.ops.assign(layer=-1))
    found = recognise(flat, model)
    assert (found.schedule, found.model, found.fits) == (spec, model, True)


def test_keys_and_values_may_travel_apart(stripped: Strip) -> None:
    """Two messages in each hop, of half the size; and a send and a receive in place of a shift."""
    trace = stripped(run_of("ring", "dit-nano", 3))
    rows = []
    for row in trace.ops.to_dict("records"):
        halves = [row]
        if row["kind"] == "shift":
            half = row | {"bytes": row["bytes"] // 2, "wire_bytes": row["bytes"] // 2}
            to = half | {"kind": "send", "src": -1}
            back = row | {"kind": "recv", "dst": -1, "bytes": 0, "wire_bytes": 0}
            halves = [to, back, to, back]
        rows += halves
    ops = pd.DataFrame(rows).assign(waits_for=-1)
    ops = ops[ops["kind"] != "wait"]
    found = recognise(Trace(trace.run, ops.assign(seq=ops.groupby("rank").cumcount())))
    assert (found.schedule, found.model) == ("ring", "dit-nano")
    assert "that is 2 in each of 2 hops, as keys and values" in found.evidence


def test_one_rank_or_ranks_that_send_nothing() -> None:
    """Nothing to tell the model by; images of their own, where there are several ranks."""
    alone = run_of("single", "dit-nano", 1)
    assert recognise(alone).schedule == "single"
    assert recognise(alone).model == "dit-nano"  # it says so itself
    unknown = Trace(replace(alone.run, model="Net"), alone.ops)
    assert recognise(unknown).model is None
    assert recognise(unknown).against == ("nothing is sent that would tell the model; name it",)
    several = run_of("data:images=2+single", "dit-nano", 2)
    assert recognise(several).schedule == "data:images=2+single"


def test_equal_parts_that_were_recorded_as_parts_are_no_sign_of_experts(stripped: Strip) -> None:
    """Four all-to-alls of equal parts in a layer, as diffusers makes them, are Ulysses."""
    ops = stripped(run_of("ulysses", "dit-nano", 4)).ops
    equal = ops["kind"] == "all_to_all"
    quarters = (ops.loc[equal, "bytes"] // 4).astype(str)
    ops.loc[equal, "parts"] = [",".join([text] * 4) for text in quarters]
    assert recognise(Trace(run_of("ulysses", "dit-nano", 4).run, ops)).schedule == "ulysses"


def test_what_none_of_our_schedules_does_is_not_recognised(stripped: Strip) -> None:
    """Gathers and reduce-scatters in a layer are Megatron's sequence parallelism."""
    trace = stripped(run_of("tensor", "dit-nano", 4))
    ops = trace.ops
    every_other = (ops["kind"] == "all_reduce") & (ops["seq"] % 2 == 0)
    ops.loc[every_other, "kind"] = "reduce_scatter"
    found = recognise(Trace(trace.run, ops))
    assert found.schedule is None
    assert not found.fits
    expected = "none of our schedules sends all_reduce and reduce_scatter in a layer"
    assert found.against == (expected,)


def test_messages_to_several_ranks_are_no_ring(stripped: Strip) -> None:
    """A rank that sends one step further now and then."""
    trace = stripped(run_of("ring", "dit-nano", 3))
    ops = trace.ops.copy()
    odd = (ops["kind"] == "shift") & (ops["seq"] % 2 == 0)
    ops.loc[odd, ["dst", "src"]] = ops.loc[odd, ["src", "dst"]].to_numpy()
    found = recognise(Trace(trace.run, ops))
    assert found.against == ("messages go to several ranks, as in no ring",)


def test_a_model_that_does_not_fit_is_told(stripped: Strip) -> None:
    """Its layers, its volume, or that it cannot be run so; a codec is a guess."""
    seen = stripped(run_of("ring", "dit-nano", 3))
    other = recognise(seen, "mmdit-tiny")
    assert not other.fits
    assert any("2 layers were recorded, mmdit-tiny has 4" in line for line in other.against)
    odd = recognise(seen, "dit-s-2-256")
    assert any("cannot be run by ring on so many ranks" in line for line in odd.against)
    coded = recognise(stripped(run_of("ring/residual-1bit", "dit-tiny", 4)), "dit-tiny")
    assert coded.schedule == "ring"
    assert any("with a codec?" in line for line in coded.against)
    with pytest.raises(InputError, match="dit-nanno"):
        recognise(seen, "dit-nanno")


def test_the_command_prints_what_it_is_and_why(
    stripped: Strip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text and as JSON; an unknown model is a bad argument."""
    stripped(run_of("patch", "dit-nano", 4)).save(tmp_path / "t")
    assert call(["recognise", str(tmp_path / "t")]) == OK
    said = capsys.readouterr().out
    assert said.startswith("schedule: patch\nmodel: dit-nano\n  + 1 all_gather a layer")
    assert call(["recognise", str(tmp_path / "t"), "--model", "dit-nano", "--json"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert found["schedule"] == "patch"
    assert found["fits"] is True
    assert found["against"] == []
    assert call(["recognise", str(tmp_path / "t"), "--model", "nothing"]) == BAD_INPUT


def test_ranks_are_one_team_where_groups_join_them() -> None:
    """Directly, or by way of others."""
    groups = [frozenset({0, 2}), frozenset({2, 3})]
    assert connected(range(5), groups) == [frozenset({0, 2, 3}), frozenset({1}), frozenset({4})]
