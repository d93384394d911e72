"""What each member of a recorded all-to-all sent to whom, and so what each one got."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from traces.columns import COLLECTIVES
from traces.errors import TraceError
from traces.parts import parse_parts
from traces.shape import parse_shape

if TYPE_CHECKING:
    import pandas as pd


class Sizes(NamedTuple):
    """Rows for each member of the group and from each, in its order."""

    sends: tuple[int, ...]
    takes: tuple[int, ...]


def whole_rows(row: Any) -> tuple[int, ...]:
    """For each member, how many rows along dim 0 of what a row of a trace sends.

    Raises TraceError where its parts, or its shape, are not such.
    """
    parts = _parts(row)
    (shape, _), *others = parse_shape(row.shape) or [((), "")]
    if others or not shape:
        raise _senseless(row)
    row_bytes = row.bytes // max(1, shape[0])
    if not row_bytes:  # rows of no bytes: whoever gets them, it is nothing
        return (shape[0], *parts[1:])
    if any(nbytes % row_bytes for nbytes in parts):
        raise TraceError(
            f"rank {row.rank}, operation {row.seq}: its parts are {row.parts!r}, which are no "
            f"whole rows of {row.shape!r}, of {row_bytes} bytes each"
        )
    return tuple(nbytes // row_bytes for nbytes in parts)


def rows_of_a_byte(row: Any) -> tuple[int, ...]:
    """The same where each byte is a row of its own, whatever the shape."""
    return _parts(row)


def recorded_sizes(
    ops: pd.DataFrame, rows_of: Callable[[Any], tuple[int, ...]] = whole_rows
) -> dict[tuple[int, int], Sizes]:
    """Of the all-to-alls of parts that differ, by the (rank, seq) of their rows.

    A row says what its rank sent; what it got, the others' rows of the same exchange say. Where
    one of them is missing, or of equal parts, 0 stands for it: the ranks do not match then anyway.
    Raises TraceError as `rows_of` does.
    """
    if not (ops["parts"] != "").any():
        return {}
    collectives = ops[ops["kind"].isin(COLLECTIVES)]
    ordinals = collectives.groupby(["stream", "group", "rank"]).cumcount()
    uneven = collectives.assign(ordinal=ordinals)[collectives["parts"] != ""]
    rows: list[Any] = list(uneven.itertuples())
    sends = {(row.stream, row.group, row.ordinal, row.rank): rows_of(row) for row in rows}
    sizes = {}
    for row in rows:
        members = [int(member) for member in row.group.split(",")]
        place, none = members.index(row.rank), (0,) * len(members)
        exchange = row.stream, row.group, row.ordinal
        takes = tuple(sends.get((*exchange, member), none)[place] for member in members)
        sizes[row.rank, row.seq] = Sizes(sends[(*exchange, row.rank)], takes)
    return sizes


def _parts(row: Any) -> tuple[int, ...]:
    parts = parse_parts(row.parts, row.group, row.bytes)
    if parts is None:
        raise _senseless(row)
    return parts


def _senseless(row: Any) -> TraceError:
    return TraceError(
        f"rank {row.rank}, operation {row.seq}: its parts are {row.parts!r}, of {row.bytes} bytes "
        f"of shape {row.shape!r}; expected bytes for each rank of its group, and one tensor's shape"
    )
