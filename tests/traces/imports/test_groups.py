"""Which ranks a call of gloo's is shared by, which its profile does not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from traces.imports.formats import read
from traces.trace import Trace


def gathered(tmp_path: Path, parts: int, groups: list[list[int]]) -> Trace:
    """Of rank 1 of 4, one gather of so many parts, in a run that has these groups."""
    args = {
        "Input Dims": [[8 * parts, 4], [8, 4], [], [], []],
        "Input type": ["float", "float", "", "Scalar", "Scalar"],
        "Concrete Inputs": ["", "", "", "False", "-1"],
    }
    event = {"ph": "X", "cat": "cpu_op", "pid": 1, "tid": 1, "ts": 1, "dur": 1}
    config: list[dict[str, Any]] = [
        {"pg_name": str(i), "pg_desc": "undefined", "pg_size": len(ranks), "ranks": ranks}
        for i, ranks in enumerate(groups)
    ]
    info = {"rank": 1, "world_size": 4, "backend": "gloo", "pg_config": config}
    events = [event | {"name": "c10d::_allgather_base_", "args": args}]
    path = tmp_path / "rank1.json"
    path.write_text(json.dumps({"distributedInfo": info, "traceEvents": events}))
    return read([path])


def test_a_gathers_shapes_tell_the_size_of_its_group(tmp_path: Path) -> None:
    """Where one group has that size, it is that one."""
    groups = [[0, 1, 2, 3], [1, 3]]
    for parts, text in ((4, "0,1,2,3"), (2, "1,3")):
        trace = gathered(tmp_path, parts, groups)
        assert trace.ops["group"].iloc[0] == text
        assert not any("several groups" in line for line in trace.problems)
        assert trace.ops["wire_bytes"].iloc[0] == (parts - 1) * 128


def test_of_several_that_fit_it_is_the_first_and_that_is_said(tmp_path: Path) -> None:
    """All ranks would choose the same."""
    trace = gathered(tmp_path, 2, [[0, 1, 2, 3], [0, 1], [1, 3]])
    assert trace.ops["group"].iloc[0] == "0,1"
    assert (
        "rank 1: the file does not say which of several groups 1 transfers are of; taken to "
        in (trace.problems[0])
    )


def test_without_groups_all_ranks_share_it(tmp_path: Path) -> None:
    """As in profiles that say nothing of the run."""
    assert gathered(tmp_path, 4, []).ops["group"].iloc[0] == "0,1,2,3"
