"""PyTorch's execution traces become traces without times."""

from __future__ import annotations

from pathlib import Path

import pytest

from traces.imports.formats import read

pytestmark = pytest.mark.slow


def test_it_tells_the_same_transfers_as_the_profile_of_the_same_run(profiled: Path) -> None:
    """Kind, place, bytes, peers and parts, on both ranks; and that there are no times."""
    kineto = read([profiled / f"kineto-{rank}.json" for rank in (0, 1)])
    graph = read([profiled / f"et-{rank}.json" for rank in (0, 1)])

    here, there = (t.ops[t.ops["stream"] != "compute"].reset_index() for t in (graph, kineto))
    for column in ("rank", "kind", "step", "layer", "bytes", "group", "dst", "src", "parts"):
        assert here[column].tolist() == there[column].tolist(), column
    assert graph.ops["end_s"].max() == graph.ops["cost_s"].max() == 0
    assert any("no times" in line for line in graph.problems)
    assert graph.run.evidence == "predicted"


def test_what_blocks_is_waited_for_at_once_and_the_rest_before_its_tensor_is_used(
    profiled: Path,
) -> None:
    """Nothing needs a message that was sent."""
    ops = read([profiled / f"et-{rank}.json" for rank in (0, 1)]).ops
    rows = ops[ops["rank"] == 0]
    kinds, targets = rows["kind"].tolist(), rows["waits_for"].tolist()
    waited = {target: seq for seq, target in enumerate(targets) if target >= 0}
    for seq, kind in enumerate(kinds):
        if kind not in ("compute", "wait"):
            assert (seq in waited) == (kind != "send"), kind
        if kind in ("all_to_all", "barrier", "broadcast"):
            assert waited[seq] == seq + 1
