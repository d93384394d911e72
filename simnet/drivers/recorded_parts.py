"""What each member of a recorded all-to-all sent to whom, and so what each one got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from traces.errors import TraceError
from traces.parts import parse_parts
from traces.shape import parse_shape

if TYPE_CHECKING:
    import pandas as pd


class Sizes(NamedTuple):
    """Rows for each member of the group and from each, in its order."""

    sends: tuple[int, ...]
    takes: tuple[int, ...]


def recorded_sizes(ops: pd.DataFrame) -> dict[tuple[int, int], Sizes]:
    """Of the all-to-alls of parts that differ, by the (rank, seq) of their rows.

    A row says what its rank sent; what it got, the others' rows of the same exchange say. Where
    one of them is missing, or of equal parts, 0 stands for it: the ranks do not match then anyway.
    Raises TraceError for parts that are no whole rows of what was sent.
    """
    if not (ops["parts"] != "").any():
        return {}
    collectives = ops[ops["kind"].str.startswith("all_")]
    ordinals = collectives.groupby(["stream", "group", "rank"]).cumcount()
    uneven = collectives.assign(ordinal=ordinals)[collectives["parts"] != ""]
    rows: list[Any] = list(uneven.itertuples())
    sends = {(row.stream, row.group, row.ordinal, row.rank): _sends(row) for row in rows}
    sizes = {}
    for row in rows:
        members = [int(member) for member in row.group.split(",")]
        place, none = members.index(row.rank), (0,) * len(members)
        exchange = row.stream, row.group, row.ordinal
        takes = tuple(sends.get((*exchange, member), none)[place] for member in members)
        sizes[row.rank, row.seq] = Sizes(sends[(*exchange, row.rank)], takes)
    return sizes


def _sends(row: Any) -> tuple[int, ...]:
    """Rows along dim 0 of what has so many bytes in each part."""
    parts = parse_parts(row.parts, row.group, row.bytes)
    (shape, _), *others = parse_shape(row.shape) or [((), "")]
    if parts is None or others or not shape:
        raise TraceError(
            f"rank {row.rank}, operation {row.seq}: its parts are {row.parts!r}, of "
            f"{row.bytes} bytes of shape {row.shape!r}; expected bytes for each rank of its group, "
            "and one tensor's shape"
        )
    row_bytes = row.bytes // max(1, shape[0])
    if not row_bytes:  # rows of no bytes: whoever gets them, it is nothing
        return (shape[0], *parts[1:])
    if any(nbytes % row_bytes for nbytes in parts):
        raise TraceError(
            f"rank {row.rank}, operation {row.seq}: its parts are {row.parts!r}, which are no "
            f"whole rows of {row.shape!r}, of {row_bytes} bytes each"
        )
    return tuple(nbytes // row_bytes for nbytes in parts)
