"""Overlap by layer on a trace of one rank and two layers."""

from __future__ import annotations

import math

from analysis.overlap import overlap
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

RUN = Run("tiny", "ring", ranks=1, steps=1, driver="simulated", device="toy", network="wire")


def test_a_layers_transfer_is_split_into_hidden_and_exposed() -> None:
    """Layer 0's gather hides behind two of its five seconds; layer 1's behind all, and is late.

    A transfer that outlives the rank hides only until the rank's end, one without an end never.
    """
    trace = Trace(
        RUN,
        table(
            (
                Operation(0, 0, "world", "all_gather", "kv", 0, 0, 0.0, 5.0),
                Operation(0, 1, "compute", "compute", "qkv", 0, 0, 0.0, 2.0),
                Operation(0, 2, "compute", "wait", "kv", 0, 0, 2.0, 5.0, waits_for=0),
                Operation(0, 3, "world", "all_gather", "kv", 0, 1, 5.0, 9.0),
                Operation(0, 4, "world", "all_gather", "kv", 0, 1, 5.0, math.nan),
                Operation(0, 5, "compute", "compute", "attend", 0, 1, 5.0, 6.0),
                Operation(0, 6, "compute", "compute", "finish", 0, 1, 6.0, 8.0),
            )
        ),
    )

    assert overlap(trace).reset_index().to_dict("records") == [
        {"rank": 0, "step": 0, "layer": 0, "compute_s": 2.0, "exposed_s": 3.0, "hidden_s": 2.0},
        {"rank": 0, "step": 0, "layer": 1, "compute_s": 3.0, "exposed_s": 0.0, "hidden_s": 3.0},
    ]


def test_transfers_of_two_layers_at_once_hide_in_both() -> None:
    """Each layer counts what it hides by itself; a wait counts for neither."""
    trace = Trace(
        RUN,
        table(
            (
                Operation(0, 0, "world", "all_gather", "kv", 0, 0, 0.0, 4.0),
                Operation(0, 1, "world", "all_gather", "kv", 0, 1, 0.0, 4.0),
                Operation(0, 2, "compute", "compute", "qkv", 0, 0, 0.0, 3.0),
                Operation(0, 3, "compute", "wait", "kv", 0, 0, 3.0, 4.0, waits_for=0),
            )
        ),
    )

    assert overlap(trace)["hidden_s"].tolist() == [3.0, 3.0]
