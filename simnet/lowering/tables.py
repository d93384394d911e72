"""Operation graphs as tables: what is in one, and what differs between two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simnet.lowering.graph import COMPUTE, KINDS, MOVE, WAIT, Graph
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def operations(graph: Graph) -> pd.DataFrame:
    """A row for each operation.

    rank, seq, kind (as in a trace), name, step, layer, stream, shape, bytes (that the rank brings),
    peer (see Move) and waits_for (-1: no wait).
    """
    import pandas as pd

    names, shapes, streams, kinds = _described(graph)
    what = np.where(graph.kind == MOVE, graph.what + len(graph.calls), graph.what)
    waits = graph.kind == WAIT
    awaited = (graph.first[graph.rank_of] + graph.what)[waits]
    what[waits] = graph.what[awaited] + len(graph.calls)
    moves = [(0 if move.kind == "recv" else move.nbytes, move.peer) for move in graph.moves]
    numbers = np.array([(0, -1)] * len(graph.calls) + moves, np.int64).reshape(-1, 2)
    table = pd.DataFrame(
        {
            "rank": graph.rank_of,
            "seq": np.arange(len(graph)) - graph.first[graph.rank_of],
            "kind": np.where(waits, "wait", kinds[what]),
            "name": names[what],
            "step": graph.step,
            "layer": graph.layer,
            "stream": np.where(graph.kind == MOVE, streams[what], "compute"),
            "shape": np.where(waits, "", shapes[what]),
            "bytes": np.where(waits, 0, numbers[what, 0]),
            "peer": np.where(graph.kind == MOVE, numbers[what, 1], -1),
            "waits_for": np.where(waits, graph.what, -1),
        }
    )
    text = ["kind", "name", "stream", "shape"]
    return table.astype(dict.fromkeys(text, "str"))


def summary(graph: Graph) -> pd.DataFrame:
    """What each rank does: a row for each kind and name, with its number and bytes."""
    table = operations(graph)
    grouped = table.groupby(["rank", "kind", "name"], sort=False)
    return grouped.agg(operations=("seq", "size"), bytes=("bytes", "sum")).reset_index()


def by_step(graph: Graph) -> pd.DataFrame:
    """Operations of each kind in each step of all ranks, and the bytes that they bring."""
    table = operations(graph)
    table["what"] = np.array(KINDS)[graph.kind]
    counts = table.pivot_table(
        index="step", columns="what", values="seq", aggfunc="size", fill_value=0
    )
    counts = counts.reindex(columns=list(KINDS), fill_value=0)
    return counts.assign(bytes=table.groupby("step")["bytes"].sum()).reset_index()


def difference(one: Graph, other: Graph) -> pd.DataFrame:
    """Where two graphs differ: a row for each kind and name of which they have not the same.

    operations_a, bytes_a, operations_b, bytes_b; of all ranks, or where both have as many rank by
    rank. Empty for graphs that do the same things, if perhaps in another order: see `first_unlike`.
    """
    keys = ["rank", "kind", "name"] if one.ranks == other.ranks else ["kind", "name"]
    tables = [
        summary(graph).groupby(keys, sort=False).sum(numeric_only=True).add_suffix(suffix)
        for graph, suffix in ((one, "_a"), (other, "_b"))
    ]
    joined = tables[0].join(tables[1], how="outer", sort=False)
    columns = ["operations_a", "bytes_a", "operations_b", "bytes_b"]
    joined = joined.reset_index().fillna(dict.fromkeys(columns, 0))
    joined = joined.astype(dict.fromkeys(columns, "int64"))[[*keys, *columns]]
    unlike = (joined["operations_a"] != joined["operations_b"]) | (
        joined["bytes_a"] != joined["bytes_b"]
    )
    return joined[unlike].reset_index(drop=True)


def first_unlike(one: Graph, other: Graph) -> pd.DataFrame:
    """The first operation of each rank that is not the same in both: two rows, graph a and b.

    A rank that ends where the other goes on has one row only. Raises InputError where they have
    not the same number of ranks.
    """
    import pandas as pd

    if one.ranks != other.ranks:
        raise InputError(
            f"one graph has {one.ranks} ranks, the other {other.ranks}; expected as many, to go "
            "through them rank by rank"
        )
    tables = [operations(one), operations(other)]
    found = []
    for rank in range(one.ranks):
        rows = [
            table.iloc[graph.rows(rank)].reset_index(drop=True)
            for table, graph in zip(tables, (one, other), strict=True)
        ]
        shorter = min(map(len, rows))
        unlike = (rows[0].iloc[:shorter] != rows[1].iloc[:shorter]).any(axis=1)
        place = int(unlike.to_numpy().argmax()) if unlike.any() else shorter
        for name, table in zip("ab", rows, strict=True):
            found.append(table.iloc[place : place + 1].assign(graph=name))
        if not unlike.any() and len(rows[0]) == len(rows[1]):
            del found[-2:]
    columns = ["graph", *tables[0].columns]
    return pd.concat(found)[columns].reset_index(drop=True) if found else tables[0].iloc[:0]


def _described(graph: Graph) -> tuple[NDArray[np.object_], ...]:
    """Names, shapes, streams and kinds of all calls, and behind them of all moves."""
    calls = [(call.name, call.shape, "compute", KINDS[COMPUTE]) for call in graph.calls]
    moves = [(move.name, move.shape, move.group.name, move.kind) for move in graph.moves]
    rows = [*calls, *moves] or [("", "", "", "")]
    names, shapes, streams, kinds = (np.array(column, object) for column in zip(*rows, strict=True))
    return names, shapes, streams, kinds
