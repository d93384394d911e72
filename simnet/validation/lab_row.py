"""A row of the lab's table: a case, and how far its prediction is off, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simnet.lab.judged import Judged

if TYPE_CHECKING:
    from simnet.lab.cases import Case

#: Of the table; times in seconds, errors in parts of what was measured.
COLUMNS = (
    *("network", "ranks", "rate_bps", "schedule", "codec", "model", "compute"),
    *("measured_s", "predicted_s", "error"),
    *("measured_exposed_s", "predicted_exposed_s", "op_finish_error", "flags"),
)
#: How the flags of a case begin that has no numbers.
FAILED = "failed: "

Row = dict[str, Any]


def row(case: Case, numbers: Judged, flags: Sequence[str]) -> Row:
    """The row of a case that went well."""
    return _about(case) | numbers._asdict() | {"error": numbers.error, "flags": "; ".join(flags)}


def failed(case: Case, why: str) -> Row:
    """The row of a case without numbers."""
    nothing = dict.fromkeys((*Judged._fields, "error"), math.nan)
    return _about(case) | nothing | {"flags": FAILED + why}


def _about(case: Case) -> Row:
    return {
        "network": case.network.name,
        "ranks": case.network.ranks,
        "rate_bps": case.network.hosts[0].rate_bps,
        "schedule": case.method,
        "codec": case.codec,
        "model": case.workload.model,
        "compute": case.compute.name,
    }
