"""Is what was read a trace at all? Every row is held against what its columns mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from traces.columns import COLLECTIVES, COLUMNS, KINDS, MESSAGES, ROOTS
from traces.errors import InputError, TraceError
from traces.parts import parse_parts
from traces.run import Run
from traces.shape import payload_bytes

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def conform(ops: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns and types of COLUMNS, sorted by rank and seq.

    Raises TraceError for a column that is missing, unknown, or does not fit its type unchanged.
    """
    if set(ops) != set(COLUMNS):
        odd = ", ".join(sorted(set(map(str, ops)) ^ set(COLUMNS)))
        raise TraceError(f"the table of operations has other columns than a trace: see {odd}")
    ops = ops[list(COLUMNS)]
    for name, dtype in COLUMNS.items():
        if ops[name].dtype != dtype:
            ops = ops.assign(**{name: _cast(ops[name], dtype)})
    rank, seq = np.diff(ops["rank"]), np.diff(ops["seq"])
    if ((rank < 0) | ((rank == 0) & (seq < 0))).any():
        ops = ops.sort_values(["rank", "seq"], kind="stable")
    return ops.reset_index(drop=True)


def _cast(column: pd.Series[Any], dtype: str) -> pd.Series[Any]:
    try:
        cast: pd.Series[Any] = column.astype(np.dtype(dtype) if dtype != "str" else str)
    except (ValueError, TypeError) as error:
        raise TraceError(f"column {column.name} holds {column.dtype}: {error}") from error
    if dtype != "float64" and not (cast == column).all():
        raise TraceError(f"column {column.name} holds {column.dtype} that does not fit {dtype}")
    return cast


class Rule(NamedTuple):
    """Rows for which `bad` holds are damage; columns[0] is the one named."""

    columns: tuple[str, ...]
    expected: str
    bad: Callable[[pd.DataFrame, Run], pd.Series[bool]]


def _on_rank(rows: pd.DataFrame) -> pd.Series[bool]:
    return rows["kind"].isin(("compute", "wait"))


def _is_time(times_s: pd.Series[float]) -> pd.Series[bool]:
    return times_s.between(0, math.inf, inclusive="left")


def _bad_end(rows: pd.DataFrame, _: Run) -> pd.Series[bool]:
    return (rows["end_s"] == math.inf) | (rows["end_s"].isna() & _on_rank(rows))


def _bad_group(rows: pd.DataFrame, run: Run) -> pd.Series[bool]:
    names = rows["group"].unique()
    return rows["group"].isin([name for name in names if name and not _is_group(name, run.ranks)])


def _is_group(name: str, ranks: int) -> bool:
    try:
        members = [int(member) for member in name.split(",")]
    except ValueError:
        return False
    rising = all(one < other for one, other in pairwise(members))
    return rising and members[0] >= 0 and members[-1] < ranks


def _outside(rows: pd.DataFrame, column: str, *kinds: str) -> pd.Series[bool]:
    """Rows of these kinds where the rank in `column` is none of their group's."""
    ranks, outside = rows[column].to_numpy(), np.zeros(len(rows), bool)
    for name, places in rows.groupby("group").indices.items():
        if name:
            members = [int(member) for member in str(name).split(",")]
            outside[places] = ~np.isin(ranks[places], members)
    return rows["kind"].isin(kinds) & outside


def _described(rows: pd.DataFrame) -> pd.Series[bool]:
    """Transfers whose payload's shape is known; that of an imported one may not be."""
    return ~_on_rank(rows) & (rows["shape"] != "")


def _bad_shape(rows: pd.DataFrame, _: Run) -> pd.Series[bool]:
    described = _described(rows)
    texts = rows["shape"][described].unique()
    return described & rows["shape"].isin([text for text in texts if _size(text) is None])


def _bad_bytes(rows: pd.DataFrame, _: Run) -> pd.Series[bool]:
    transfers = rows[_described(rows)]
    sizes = transfers["shape"].map({text: _size(text) for text in transfers["shape"].unique()})
    bad = transfers["bytes"] != sizes.where(transfers["kind"] != "recv", 0)
    return bad.reindex(rows.index, fill_value=False)


def _bad_parts(rows: pd.DataFrame, _: Run) -> pd.Series[bool]:
    given = rows[rows["parts"] != ""]
    cells = zip(given["parts"], given["group"], given["bytes"], strict=True)
    wrong = [parse_parts(*each) is None for each in cells]
    return (rows["parts"] != "") & rows.index.isin(given.index[wrong])


@lru_cache(maxsize=4096)
def _size(shape: str) -> int | None:
    """Bytes of a payload; None for a text that describes none, or one beyond all bounds."""
    try:
        size = payload_bytes(shape)
    except InputError:
        return None
    return size if size <= np.iinfo(np.int64).max else None


A_TIME = "a time from 0"
A_PEER = "one of the run's ranks, or -1"
A_MEMBER = "one of the ranks of the transfer's group"
#: Kinds of which `dst`, and `src`, is a rank of the group.
SENDS = ("send", "shift", *(kind for kind, column in ROOTS.items() if column == "dst"))
RECEIVES = ("recv", "shift", *(kind for kind, column in ROOTS.items() if column == "src"))
TRANSFERS = (*MESSAGES, *COLLECTIVES)
#: Each is checked where all its columns were asked for.
RULES = (
    Rule(("kind",), f"one of {', '.join(KINDS)}", lambda r, _: ~r["kind"].isin(KINDS)),
    Rule(("start_s",), A_TIME, lambda r, _: ~_is_time(r["start_s"])),
    Rule(("end_s", "kind"), "a time; only a transfer may lack its end", _bad_end),
    Rule(("end_s", "start_s"), "no time before start_s", lambda r, _: r["end_s"] < r["start_s"]),
    Rule(("cost_s",), A_TIME, lambda r, _: ~_is_time(r["cost_s"].fillna(0.0))),
    Rule(
        ("cost_s", "kind"),
        "a time, as every compute has one",
        lambda r, _: (r["kind"] == "compute") & r["cost_s"].isna(),
    ),
    Rule(("host_s",), A_TIME, lambda r, _: ~_is_time(r["host_s"])),
    Rule(("bytes",), "0 or more", lambda r, _: r["bytes"] < 0),
    Rule(("wire_bytes",), "0 or more", lambda r, _: r["wire_bytes"] < 0),
    Rule(
        ("step",),
        "one of the run's steps, or -1",
        lambda r, run: ~r["step"].between(-1, run.steps - 1),
    ),
    Rule(("layer",), "-1 or more", lambda r, _: r["layer"] < -1),
    Rule(("dst",), A_PEER, lambda r, run: ~r["dst"].between(-1, run.ranks - 1)),
    Rule(("src",), A_PEER, lambda r, run: ~r["src"].between(-1, run.ranks - 1)),
    Rule(
        ("dst", "kind"),
        "the rank that is sent to, or the root",
        lambda r, _: r["kind"].isin(SENDS) & (r["dst"] < 0),
    ),
    Rule(
        ("src", "kind"),
        "the rank that is received from, or the root",
        lambda r, _: r["kind"].isin(RECEIVES) & (r["src"] < 0),
    ),
    Rule(
        ("stream", "kind"),
        '"compute" for compute and wait, the communicator\'s name for a transfer',
        lambda r, _: (r["stream"] == "compute") != _on_rank(r),
    ),
    Rule(("stream",), "a stream's name", lambda r, _: r["stream"] == ""),
    Rule(("group",), "ranks of the run in rising order, such as 0,1", _bad_group),
    Rule(
        ("group", "kind"),
        "the ranks of the transfer's communicator",
        lambda r, _: (r["group"] == "") & ~_on_rank(r),
    ),
    Rule(
        ("group", "kind", "rank"),
        "the row's own rank among them",
        lambda r, _: _outside(r, "rank", *TRANSFERS),
    ),
    Rule(("dst", "kind", "group"), A_MEMBER, lambda r, _: _outside(r, "dst", *SENDS)),
    Rule(("src", "kind", "group"), A_MEMBER, lambda r, _: _outside(r, "src", *RECEIVES)),
    Rule(("shape", "kind"), "one tensor's, such as 2x64x128:float32, or none", _bad_shape),
    Rule(("bytes", "shape", "kind"), "what the shape says; of a recv, 0", _bad_bytes),
    Rule(
        ("bytes", "kind"),
        "0, as a barrier moves nothing",
        lambda r, _: (r["kind"] == "barrier") & (r["bytes"] != 0),
    ),
    Rule(
        ("parts", "kind"),
        "none, as only an all_to_all has parts",
        lambda r, _: (r["parts"] != "") & (r["kind"] != "all_to_all"),
    ),
    Rule(
        ("parts", "group", "bytes"),
        "bytes for each rank of the group, together those of the row",
        _bad_parts,
    ),
)


class Checker:
    """Holds one rank's rows, a batch after the other, against the rules and their order."""

    def __init__(self, run: Run, rank: int, where: str) -> None:
        self.run = run
        self.rank = rank
        self.where = where
        self.rows = 0
        self.transfers = bytearray()  # a byte a row: which of the rows so far can be waited for

    def __call__(self, rows: pd.DataFrame) -> None:
        """Raises TraceError naming the first row and column at fault; columns may be missing."""
        self._sequence(rows)
        for rule in RULES:
            if set(rule.columns) <= set(rows):
                self._refuse(rows, rule.bad(rows, self.run), rule.columns[0], rule.expected)
        if {"kind", "waits_for"} <= set(rows):
            self._waits(rows)
        self.rows += len(rows)

    def _sequence(self, rows: pd.DataFrame) -> None:
        if "seq" in rows:
            bad = rows["seq"] != self._numbers(rows)
            self._refuse(rows, bad, "seq", "every number from 0 on, once and in order")
        if "rank" in rows:
            self._refuse(rows, rows["rank"] != self.rank, "rank", f"{self.rank}")

    def _waits(self, rows: pd.DataFrame) -> None:
        self.transfers += (~_on_rank(rows)).to_numpy().tobytes()
        known = np.frombuffer(self.transfers, bool)
        waits, target = rows["kind"] == "wait", rows["waits_for"]
        earlier = (target >= 0) & (target < self._numbers(rows))
        right = earlier & known[target.where(earlier, 0)]
        self._refuse(rows, waits & ~right, "waits_for", "the seq of an earlier transfer")
        self._refuse(rows, ~waits & (target != -1), "waits_for", "-1, as only a wait waits")

    def _numbers(self, rows: pd.DataFrame) -> NDArray[np.int64]:
        return np.arange(self.rows, self.rows + len(rows))

    def _refuse(self, rows: pd.DataFrame, bad: pd.Series[bool], column: str, expected: str) -> None:
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise TraceError(
                f"{self.where}: row {self.rows + row}: {column} is {rows[column].iloc[row]!s}; "
                f"expected {expected}"
            )
