"""One thing that a rank did: a row of a trace while it is being made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from traces.columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True, eq=False)
class Operation:
    """The columns of traces.columns.COLUMNS, with what most rows have as defaults.

    A transfer's `end_s` is NaN until it completes.
    """

    rank: int
    seq: int
    stream: str
    kind: str
    name: str
    step: int
    layer: int
    start_s: float
    end_s: float = math.nan
    cost_s: float = math.nan
    host_s: float = 0.0
    bytes: int = 0
    wire_bytes: int = 0
    group: str = ""
    dst: int = -1
    src: int = -1
    waits_for: int = -1
    shape: str = ""
    parts: str = ""

    def values(self) -> tuple[Any, ...]:
        """The fields in column order."""
        row: tuple[Any, ...] = _VALUES(self)
        return row


_VALUES = attrgetter(*COLUMNS)


def table(operations: Iterable[Operation]) -> pd.DataFrame:
    """The operations as a DataFrame with the columns and types of a trace."""
    import numpy as np
    import pandas as pd

    columns = list(zip(*map(_VALUES, operations), strict=True)) or [()] * len(COLUMNS)
    return pd.DataFrame(
        {
            name: np.fromiter(values, dtype) if dtype != "str" else pd.Series(values, dtype="str")
            for (name, dtype), values in zip(COLUMNS.items(), columns, strict=True)
        }
    )
