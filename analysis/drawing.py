"""A trace as text: what every rank and its network were doing, one column for so much time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analysis.extent import extent
from traces.errors import InputError, TraceError
from traces.interval import merge
from traces.summary import summarize
from traces.units import format_s

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from traces.trace import Trace

#: Column widths in time are one of these times a power of ten, so that they are easy to count in.
_MANTISSAS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_OUTSIDE, _WAITING, _NOTHING = ":", ".", " "
_LEAST_WIDTH = 32
# A transfer that fills less than this much of a column does not show.
_BUSY, _PARTLY = 0.5, 0.1


def draw(trace: Trace, width: int = 72) -> str:
    """Two lines a rank, compute and network, no wider than `width` characters (at least 32).

    Two lines above them say what it is and what the symbols mean.

    Compute: a layer's last digit (a step's, where there are more layers than columns), ":" for
    computing outside the layers, "." for waiting, blank for the host. A column shows one symbol,
    but every symbol gets as many columns as it has of the time. Network: "=" where transfers are
    under way for half of the column or more, "-" for less. Raises InputError for a width that is
    too small, TraceError for a trace in which nothing took any time.
    """
    check_width(width)
    total = summarize(trace)
    ops = trace.ops[trace.ops["end_s"].notna()]
    margin = len(f"rank {trace.run.ranks - 1}") + 2
    end_s = float(ops["end_s"].max())
    if not end_s:
        raise TraceError("nothing in this trace took any time, so there is nothing to draw")
    column_s = _round_up(end_s / (width - margin))
    columns = math.ceil(end_s / column_s * (1 - 1e-9))
    edges_s = column_s * np.arange(columns + 1, dtype=np.float64)
    digit = _digit(ops, columns)
    body = ["step".ljust(margin) + _ruler(ops, edges_s)]
    for rank, rows in ops.groupby("rank"):
        body.append(f"rank {rank}".ljust(margin) + _compute(rows, edges_s, digit))
        body.append("net".rjust(margin - 2) + "  " + _network(rows, edges_s))
    title = (
        f"{total.schedule} on {total.network}, {extent(trace)}: "
        f"{format_s(total.total_s)} ({total.evidence})"
    )
    key = f"1 column = {format_s(column_s)}; 0-9 {digit}, : other, . waiting, = transfer, - part"
    return "\n".join(line.rstrip() for line in [title, key, *body])


def check_width(width: int) -> None:
    """Raises InputError for a width that leaves no room to draw."""
    if width < _LEAST_WIDTH:
        raise InputError(
            f"a drawing cannot be {width} characters wide; give {_LEAST_WIDTH} or more"
        )


def _round_up(column_s: float) -> float:
    power = 10.0 ** math.floor(math.log10(column_s))
    return next(m * power for m in _MANTISSAS if m * power >= column_s * (1 - 1e-9))


def _digit(ops: pd.DataFrame, columns: int) -> str:
    """What the digits stand for: layers where there is a column for each, else steps."""
    inside = ops.loc[ops["layer"] >= 0, ["rank", "step", "layer"]].drop_duplicates()
    return "layer" if inside.groupby("rank").size().max() <= columns else "step"


def _ruler(ops: pd.DataFrame, edges_s: NDArray[np.float64]) -> str:
    """The number of each step above the column in which its first operation starts."""
    begins = ops[ops["step"] >= 0].groupby("step")["start_s"].min()
    ruler = ""
    for step, start_s in begins.items():
        column = int(np.searchsorted(edges_s, start_s * (1 + 1e-9), side="right")) - 1
        if column > len(ruler) or not ruler:
            ruler = ruler.ljust(column) + str(step)
    return ruler


def _compute(rows: pd.DataFrame, edges_s: NDArray[np.float64], digit: str) -> str:
    stream = rows[rows["stream"] == "compute"]
    digits = (stream[digit] % 10).astype(str).where(stream["layer"] >= 0, _OUTSIDE)
    symbols = digits.where(stream["kind"] == "compute", _WAITING)
    alphabet = symbols.unique().tolist()  # in order of time: a tie goes to what came first
    spent = np.array([_filled(stream[symbols == symbol], edges_s) for symbol in alphabet])
    spent = np.vstack([spent, 1 - spent.sum(axis=0)]).round(6)  # so that ties are ties everywhere
    owed = np.zeros(len(spent))  # columns that each symbol has yet to get for its time so far
    line = ""
    for share in spent.T:
        owed += share
        chosen = int(np.where(share > 0, owed, -np.inf).argmax())
        owed[chosen] -= 1
        line += [*alphabet, _NOTHING][chosen]
    return line


def _network(rows: pd.DataFrame, edges_s: NDArray[np.float64]) -> str:
    share = _filled(rows[rows["stream"] != "compute"], edges_s).round(6)
    return "".join(np.select([share >= _BUSY, share >= _PARTLY], ["=", "-"], _NOTHING))


def _filled(rows: pd.DataFrame, edges_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each column one rank's rows fill, from 0 to 1."""
    knots_s = np.append(0.0, merge(rows, ["rank"])[["start_s", "end_s"]].to_numpy())
    lengths_s = np.diff(knots_s)
    lengths_s[::2] = 0.0  # before the first, and between one and the next
    filled_s = np.interp(edges_s, knots_s, np.append(0.0, np.cumsum(lengths_s)))
    share: NDArray[np.float64] = np.diff(filled_s) / np.diff(edges_s)
    return share
