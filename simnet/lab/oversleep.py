"""How late a rank is back on a core when the time of a paced compute is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.costs import Call

if TYPE_CHECKING:
    from simnet.costs import CostModel
    from traces.trace import Trace


def overslept_s(trace: Trace, cost: CostModel) -> list[float]:
    """By how much each compute of a paced run took longer than it was to."""
    rows = trace.ops[trace.ops["kind"] == "compute"]
    called = zip(rows["name"], rows["shape"], rows["cost_s"], strict=True)
    return [
        float(took_s) - cost.seconds(Call(name, shape, (), trace.run.dtype))
        for name, shape, took_s in called
    ]
