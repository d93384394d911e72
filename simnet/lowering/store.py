"""Operation graphs on disk: one safetensors file, columns as tensors and the rest as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simnet.costs import Call
from simnet.counting import Kernel
from simnet.lowering.graph import COMPUTE, MOVE, WAIT, Graph, Move, Origin
from simnet.ops import Group
from traces.errors import InputError, ThinwireError
from traces.files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Of what is written now.
SCHEMA = 1
_HEADER = "thinwire_graph"
_COLUMNS: dict[str, type[np.generic]] = {
    "first": np.int64,
    "kind": np.uint8,
    "what": np.int32,
    "step": np.int32,
    "layer": np.int32,
}


def save(graph: Graph, path: Path) -> None:
    """Write a graph; it replaces what is there. Raises InputError or RunError as `replacing`."""
    from safetensors.numpy import save as saved

    header = {
        "schema": SCHEMA,
        "origin": asdict(graph.origin),
        "calls": [call._asdict() for call in graph.calls],
        "moves": [move._asdict() | {"group": asdict(move.group)} for move in graph.moves],
    }
    columns = {name: np.ascontiguousarray(getattr(graph, name)) for name in _COLUMNS}
    content = saved(columns, metadata={_HEADER: json.dumps(header)})
    with replacing(path) as temporary:  # its own writing hides what the system says
        temporary.write_bytes(content)


def load(path: Path) -> Graph:
    """Read a graph back.

    Raises InputError naming the file and what is wrong with it: that it is none, of another
    version, damaged, or a graph whose transfers do not match.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(_HEADER)
            columns = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: is no operation graph: {error}") from None
    if text is None:
        raise InputError(f"{path}: is no operation graph, but some other safetensors file")
    try:
        graph = _graph(json.loads(text), columns)
        _check(graph)
    except ThinwireError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: is damaged: {error!r}; lower the schedule again") from None
    return graph


def _graph(header: Any, columns: dict[str, NDArray[Any]]) -> Graph:
    if header["schema"] != SCHEMA:
        raise InputError(f"schema is {header['schema']!r}, but this thinwire reads {SCHEMA}")
    for name, dtype in _COLUMNS.items():
        if name not in columns or columns[name].dtype != dtype or columns[name].ndim != 1:
            raise InputError(f"column {name!r} is missing, or not one of {dtype.__name__}")
    calls = tuple(
        Call(**call | {"kernels": tuple(Kernel(*kernel) for kernel in call["kernels"])})
        for call in header["calls"]
    )
    moves = tuple(Move(**move | _restored(move)) for move in header["moves"])
    first, kind, what, step, layer = (columns[name] for name in _COLUMNS)
    return Graph(Origin(**header["origin"]), calls, moves, first, kind, what, step, layer)


def _restored(move: dict[str, Any]) -> dict[str, Any]:
    """The fields of a move that JSON has as lists."""
    rows = {name: move[name] and tuple(move[name]) for name in ("sends", "takes")}
    ranks, name = move["group"]["ranks"], move["group"]["name"]
    return rows | {"group": Group(tuple(ranks), name)}


def _check(graph: Graph) -> None:
    """Raise InputError for what no lowering leaves, ScheduleError where transfers do not match."""
    rows, first = len(graph.kind), graph.first
    whole = len(first) == graph.origin.ranks + 1 and first[0] == 0 and first[-1] == rows
    if not whole or (np.diff(first) < 0).any():
        raise InputError("its ranks' operations do not follow one another")
    if {len(graph.what), len(graph.step), len(graph.layer)} != {rows}:
        raise InputError("its columns differ in length")
    seq = np.arange(rows) - first[graph.rank_of]
    limits: dict[int, NDArray[Any] | int] = {
        COMPUTE: len(graph.calls),
        MOVE: len(graph.moves),
        WAIT: seq,
    }
    for kind, limit in limits.items():
        here = graph.kind == kind
        top = limit[here] if isinstance(limit, np.ndarray) else limit
        if ((graph.what[here] < 0) | (graph.what[here] >= top)).any():
            raise InputError("an operation refers to something that is not there")
    awaited = (first[graph.rank_of] + graph.what)[graph.kind == WAIT]
    if (graph.kind > MOVE).any() or (graph.kind[awaited] != MOVE).any():
        raise InputError("an operation is of no kind that there is, or waits for no transfer")
    if ((graph.step < -1) | (graph.step >= graph.origin.steps)).any():
        raise InputError(f"an operation is in none of its {graph.origin.steps} steps")
    if any(max(move.group.ranks) >= graph.ranks for move in graph.moves):
        raise InputError(f"a transfer is among more ranks than its {graph.ranks}")
    graph.order(slowed=False)
