"""What a killed recording is still good for: the steps that every rank completed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from traces.columns import COLLECTIVES
from traces.errors import TraceError
from traces.reading import unended
from traces.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator


def common_steps(trace: Trace) -> Trace:
    """Cut every rank before the first step that one of them did not complete.

    The result is a whole trace of fewer steps that can be replayed. Of transfers that reach over
    the cut:

    - one that a peer had not asked for before the cut is left out, with the waits for it; the
      rows after it are renumbered. (It cannot be replayed: its other half is gone.)
    - one that all its ranks had asked for stays, though it ended later or was never seen to end
      (`end_s` is then NaN): a replay finds its own end.

    `problems` of the result says so. Activations of the remaining steps are still there. Raises
    TraceError where a rank has no part, or no step is common to all.
    """
    ops = trace.ops
    absent = sorted(set(range(trace.run.ranks)) - set(ops["rank"]))
    if absent:
        names = ", ".join(map(str, absent))
        raise TraceError(f"nothing was recorded of rank {names}: no step is common to all ranks")
    last = ops.groupby("rank")["step"].max()
    steps = int(last.min()) + 1
    if steps == 0:
        raise TraceError(f"rank {last.idxmin()} completed no step: none is common to all ranks")
    beyond = (ops["step"] >= steps).groupby(ops["rank"]).cummax()
    whole = ops[~beyond]
    matched = _drop_unmatched(whole)
    problems = [*_left_out(whole, matched, steps), *_unended(matched)]
    return Trace(replace(trace.run, steps=steps), _renumbered(matched), problems, trace.folder)


def _left_out(whole: pd.DataFrame, matched: pd.DataFrame, steps: int) -> Iterator[str]:
    for rank, rows in whole.groupby("rank"):
        lost = len(rows) - int((matched["rank"] == rank).sum())
        if lost:
            yield f"rank {rank}: left out {lost} rows of transfers that go beyond step {steps - 1}"


def _unended(ops: pd.DataFrame) -> Iterator[str]:
    for rank, count in ops["end_s"].isna().groupby(ops["rank"]).sum().items():
        if count:
            yield unended(int(str(rank)), int(count))


def _drop_unmatched(ops: pd.DataFrame) -> pd.DataFrame:
    """Until none is left: leaving out a shift can leave its neighbour's alone."""
    while alone := _unmatched(ops):
        keys = pd.MultiIndex.from_frame(ops.loc[alone, ["rank", "seq"]])
        waits = pd.MultiIndex.from_frame(ops[["rank", "waits_for"]]).isin(keys)
        ops = ops[~waits].drop(index=alone)
    return ops


def _unmatched(ops: pd.DataFrame) -> list[int]:
    """Index of transfers that one of their ranks has not asked for.

    Transfers are matched in order: on a communicator, and from one rank to another.
    """
    places = _places(ops)
    place = places.groupby(["lane", "rank"]).cumcount()
    asked = places.groupby(["lane", "rank"]).agg(
        count=("row", "size"), members=("members", "first")
    )
    lanes = asked.groupby("lane").agg(
        carried=("count", "min"), present=("count", "size"), members=("members", "first")
    )
    carried = lanes["carried"].where(lanes["present"] == lanes["members"], 0)
    alone = places["row"][place >= places["lane"].map(carried)]
    return alone.drop_duplicates().tolist()


def _places(ops: pd.DataFrame) -> pd.DataFrame:
    """Where each transfer queues: a row for each lane, and `members`, how many ranks it joins."""
    rank, dst, src = (ops[name].astype(str) for name in ("rank", "dst", "src"))
    collective = ops["group"][ops["kind"].isin(COLLECTIVES)]
    out = ops["kind"].isin(("send", "shift")) & (ops["dst"] != ops["rank"]) & (ops["dst"] >= 0)
    back = ops["kind"].isin(("recv", "shift")) & (ops["src"] != ops["rank"]) & (ops["src"] >= 0)
    lane = pd.concat([collective, (rank + ">" + dst)[out], (src + ">" + rank)[back]])
    members = lane.str.count(",").add(1).where(~lane.str.contains(">"), 2)
    at = ops.loc[lane.index]
    return pd.DataFrame(
        {
            "row": lane.index,
            "lane": (at["stream"] + " " + lane).to_numpy(),
            "rank": at["rank"].to_numpy(),
            "members": members.to_numpy(),
        }
    )


def _renumbered(ops: pd.DataFrame) -> pd.DataFrame:
    """Rows counted from 0 again on each rank, and waits pointing to the new numbers."""
    seq = ops.groupby("rank").cumcount()
    new = pd.Series(seq.to_numpy(), pd.MultiIndex.from_frame(ops[["rank", "seq"]]))
    target = new.reindex(pd.MultiIndex.from_frame(ops[["rank", "waits_for"]]), fill_value=-1)
    return ops.assign(seq=seq, waits_for=target.to_numpy())
