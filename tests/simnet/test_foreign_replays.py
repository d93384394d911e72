"""Replays of programs that are not ours: matched by order and size, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.bulk import Bulk
from simnet.drivers.engine import Work, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import replay
from simnet.network.collectives.named import SELECTIONS, selection
from simnet.network.network import Network
from simnet.network.presets import NETWORKS
from simnet.network.recorded import RecordedNetwork
from simnet.network.topology import Links
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    At,
    Barrier,
    Broadcast,
    Compute,
    Gather,
    Group,
    Program,
    Recv,
    Reduce,
    ReduceScatter,
    Scatter,
    Send,
    Transfer,
    Wait,
)
from traces.errors import ScheduleError, TraceError
from traces.operation import Operation, table
from traces.partial import common_steps
from traces.run import Run
from traces.summary import summarize
from traces.trace import Trace

RUN = Run("?", "captured", ranks=2, steps=1, driver="captured", device="toy", network="there")
FAST = Links("fast", rate_bps=8e3, latency_s=0.0)  # a thousand bytes a second
SLOW = Links("slow", rate_bps=8e2, latency_s=0.25)
Strip = Callable[..., Trace]


def launch(rank: int, seq: int, kind: str, at_s: float, **rest: Any) -> Operation:
    """A transfer's row without an end."""
    row = Operation(rank, seq, "pg0", kind, f"{kind}{rank}", 0, -1, at_s, group="0,1")
    for name, value in rest.items():
        setattr(row, name, value)
    return row


def compute(rank: int, seq: int, start_s: float, end_s: float) -> Operation:
    """Some kernels."""
    cost_s = end_s - start_s
    return Operation(
        rank, seq, "compute", "compute", "aten::mm", 0, -1, start_s, end_s, cost_s=cost_s
    )


def wait(rank: int, seq: int, start_s: float, end_s: float, of: int) -> Operation:
    """For the transfer of that seq."""
    return Operation(
        rank, seq, "compute", "wait", f"wait{rank}", 0, -1, start_s, end_s, waits_for=of
    )


def synchronous(rank: int, kind: str = "all_reduce", **rest: Any) -> list[Operation]:
    """A second of compute, a transfer of 1000 bytes and a wait for it, a second of compute."""
    rest = {"bytes": 1000} | rest
    return [
        compute(rank, 0, 0.0, 1.0),
        launch(rank, 1, kind, 1.0, **rest),
        wait(rank, 2, 1.0, 5.0, of=1),
        compute(rank, 3, 5.0, 6.0),
    ]


def test_without_names_and_shapes_transfers_are_matched_by_order_and_size() -> None:
    """2 s of compute, and an all-reduce of a thousand bytes; the names come out as they went in."""
    trace = Trace(RUN, table([*synchronous(0), *synchronous(1)]))
    there = replay(trace, FAST)
    assert summarize(there).total_s == 3.0
    assert there.ops["name"].tolist() == trace.ops["name"].tolist()
    assert set(there.ops.query("kind == 'all_reduce'")["shape"]) == {""}
    assert summarize(replay(trace, NETWORKS["infinite"])).total_s == 2.0


def test_between_two_ranks_messages_and_collectives_do_not_wait_for_each_other() -> None:
    """One sends before a collective what the other receives after it."""
    message = {"bytes": 1000, "src": 0, "dst": 1}
    sender = [
        launch(0, 0, "send", 0.0, **message | {"src": -1}),
        launch(0, 1, "all_reduce", 0.0, bytes=1000),
        wait(0, 2, 0.0, 1.0, of=1),
        wait(0, 3, 1.0, 2.0, of=0),
    ]
    receiver = [
        launch(1, 0, "all_reduce", 0.0, bytes=1000),
        wait(1, 1, 0.0, 1.0, of=0),
        launch(1, 2, "recv", 1.0, src=0),
        wait(1, 3, 1.0, 2.0, of=2),
    ]
    trace = Trace(RUN, table([*sender, *receiver]))
    assert summarize(replay(trace, FAST)).total_s == 2.0


def test_a_transfer_is_over_when_somebody_has_waited_for_it() -> None:
    """Its end was not seen, or only later: on the recorded network the recording comes back."""
    rows = [*synchronous(0), *synchronous(1)]
    rows[5].end_s = 5.5  # a thread that stamps it comes to that half a second late
    again = replay(Trace(RUN, table(rows)), RecordedNetwork.from_trace(Trace(RUN, table(rows))))
    assert again.ops["end_s"].tolist() == [1.0, 5.0, 5.0, 6.0] * 2


def test_a_wait_for_what_was_over_before_keeps_only_its_waking_up() -> None:
    """Half a second of it, on any network that is fast enough."""
    rows = [*synchronous(0), *synchronous(1)]
    for row in rows:
        if row.kind == "all_reduce":
            row.end_s = 4.5
    assert summarize(replay(Trace(RUN, table(rows)), NETWORKS["infinite"])).total_s == 2.5


def test_a_send_and_a_receive_that_were_posted_together_go_both_ways_at_once() -> None:
    """Whichever each rank posts first: batch_isend_irecv."""

    def both(rank: int) -> list[Operation]:
        send, recv = (1, 2) if rank else (2, 1)
        shape = "250x1:float32" if rank else ""
        posted = [
            launch(rank, send, "send", 1.0, dst=1 - rank, bytes=1000),
            launch(rank, recv, "recv", 1.0, src=1 - rank, shape=shape),
        ]
        return [
            compute(rank, 0, 0.0, 1.0),
            *sorted(posted, key=lambda row: row.seq),
            wait(rank, 3, 1.0, 9.0, of=1),
            wait(rank, 4, 9.0, 9.0, of=2),
        ]

    trace = Trace(RUN, table([*both(0), *both(1)]))
    assert replay(trace, FAST).ops["end_s"].max() == 2.0


def test_members_of_an_all_to_all_may_bring_what_they_like() -> None:
    """Rank 0 sends 900 of its 1000 bytes; rank 1's 501 split evenly, and were recorded so."""
    mine = synchronous(0, "all_to_all", parts="100,900", bytes=1000)
    theirs = synchronous(1, "all_to_all", bytes=501)
    there = replay(Trace(RUN, table([*mine, *theirs])), FAST)
    moved = there.ops.query("kind == 'all_to_all'")
    assert moved["parts"].tolist() == ["100,900", "251,250"]
    assert (moved["end_s"] - moved["start_s"]).tolist() == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (
            {"bytes": 999},
            r"'all_reduce0' \(step 0\) of 1000 bytes, .*; the sizes are 1000 and 999 bytes",
        ),
        ({"kind": "all_gather"}, "all ranks must ask for the same kind of collective"),
        ({"kind": "broadcast", "src": 1}, "all ranks must ask for the same kind"),
    ],
)
def test_what_does_not_fit_together_is_refused(theirs: dict[str, Any], said: str) -> None:
    """With both ranks, the step and the operation."""
    trace = Trace(RUN, table([*synchronous(0), *synchronous(1, **theirs)]))
    with pytest.raises(ScheduleError, match=said):
        replay(trace, FAST)


def test_a_receive_of_another_size_is_refused() -> None:
    """Where its shape says so."""
    sent = synchronous(0, "send", dst=1)
    got = synchronous(1, "recv", src=0, bytes=0, shape="10:uint8")
    with pytest.raises(ScheduleError, match="the sizes are 1000 and 10 bytes"):
        replay(Trace(RUN, table([*sent, *got])), FAST)


def test_a_rank_that_was_not_recorded_is_named() -> None:
    """There is no replay without it, not even of a part."""
    alone = Trace(RUN, table(synchronous(0)))
    with pytest.raises(TraceError, match="incomplete: nothing was recorded of rank 1"):
        replay(alone, FAST)
    with pytest.raises(TraceError, match="nothing was recorded of rank 1"):
        common_steps(alone)


def test_a_run_whose_steps_nobody_numbered_is_replayed_whole() -> None:
    """All its rows are before the first step."""
    rows = [*synchronous(0), *synchronous(1)]
    for row in rows:
        row.step = -1
    there = replay(Trace(RUN, table(rows)), FAST)
    assert summarize(there).total_s == 3.0
    assert set(there.ops["step"]) == {-1}
    for row in rows[4:]:
        row.step = 0
    with pytest.raises(TraceError, match="rank 0 has none of the steps"):
        replay(Trace(RUN, table(rows)), FAST)


def test_our_own_recordings_are_still_held_to_names_and_shapes() -> None:
    """A row without a shape is damage there, and so is another name."""
    trace = Trace(replace(RUN, driver="distributed"), table([*synchronous(0), *synchronous(1)]))
    with pytest.raises(TraceError, match="expected one tensor's"):
        replay(trace, FAST)
    named = trace.ops.assign(shape="1000:uint8")
    with pytest.raises(ScheduleError, match="both ends must name the same thing"):
        replay(Trace(trace.run, named), FAST)


@dataclass(frozen=True)
class Turn:
    """A transfer among some ranks, after each has computed for so long."""

    kind: str
    ranks: tuple[int, ...]
    root: int  # a place
    nbytes: int
    costs_s: tuple[float, ...]
    waited: int | None  # so many turns later; None: nobody waits


def transfer(turn: Turn, rank: int) -> Iterator[Transfer]:
    """What a rank asks for in this turn."""
    group, value = Group(turn.ranks, f"pg {turn.ranks}"), Bulk(turn.nbytes)
    root = turn.ranks[turn.root % len(turn.ranks)]
    other = turn.ranks[(turn.root + 1) % len(turn.ranks)]
    plain = (AllGather, AllReduce, ReduceScatter, AllToAll)
    rooted = (Broadcast, Reduce, Gather, Scatter)
    for kind in plain:
        if turn.kind == kind.kind:
            yield kind("x", value, group)
    for with_root in rooted:
        if turn.kind == with_root.kind:
            yield with_root("x", value, root, group)
    if turn.kind == "barrier":
        yield Barrier(group=group)
    if turn.kind == "uneven":
        sizes = [[turn.nbytes * (i + 2 * j) // 3 for j in turn.ranks] for i in turn.ranks]
        place = turn.ranks.index(rank)
        takes = [row[place] for row in sizes]
        mine = sizes[place]
        yield AllToAll("x", Bulk(sum(mine)), group, sends=mine, takes=takes)
    if turn.kind == "message" and other != root:
        if rank == root:
            yield Send("x", value, other, group)
        if rank == other:
            yield Recv("x", value, root, group)


KINDS = ("all_gather", "all_reduce", "reduce_scatter", "all_to_all", "barrier")
ROOTED = ("broadcast", "reduce", "gather", "scatter")


@st.composite
def programs(draw: st.DrawFn, kinds: Sequence[str], *, world: bool = False) -> list[Turn]:
    """For four ranks; of all of them, or of any."""
    some = st.lists(st.integers(0, 3), min_size=1, unique=True).map(lambda r: tuple(sorted(r)))
    turn = st.builds(
        Turn,
        kind=st.sampled_from(kinds),
        ranks=st.just((0, 1, 2, 3)) if world else some,
        root=st.integers(0, 3),
        nbytes=st.integers(0, 5).map(lambda n: 12 * n),
        costs_s=st.lists(st.floats(0, 3), min_size=4, max_size=4).map(tuple),
        waited=st.none() | st.integers(0, 2),
    )
    return draw(st.lists(turn, min_size=1, max_size=6))


def program(rank: int, turns: Sequence[Turn]) -> Program:
    """One rank's part of all turns."""
    due: list[tuple[int, Any]] = []
    for number, turn in enumerate(turns):
        yield At(number)
        yield Compute(max, turn.costs_s[rank])
        for op in transfer(turn, rank) if rank in turn.ranks else ():
            ticket = yield op
            if turn.waited is not None:
                due.append((number + turn.waited, ticket))
        for _, ticket in [one for one in due if one[0] <= number]:
            yield Wait(ticket)
        due = [one for one in due if one[0] > number]
    yield Compute(max, 1.0)


def recorded(turns: Sequence[Turn], network: Network) -> Trace:
    """The trace that they leave."""

    def took(op: Compute) -> Work:
        return Work(None, "nothing", "", op.args[0])

    ranks = [program(rank, turns) for rank in range(4)]
    operations, _ = play(ranks, len(turns), took, network, Observer())
    return Trace(Run("toy", "toy", 4, len(turns), "simulated", "toy", "slow"), table(operations))


@given(programs((*KINDS, *ROOTED, "uneven", "message")), st.sampled_from(sorted(SELECTIONS)))
def test_any_program_is_replayed_from_what_is_seen_of_it_as_from_itself(
    stripped: Strip, turns: list[Turn], name: str
) -> None:
    """All kinds, any groups, waited for at once, later or never; on a model and as recorded."""
    network = replace(SLOW, collectives=selection(name))
    trace = recorded(turns, network)
    seen = stripped(trace)
    again = replay(seen, network)
    times = ["rank", "seq", "kind", "start_s", "end_s", "bytes", "wire_bytes", "host_s"]
    pd.testing.assert_frame_equal(again.ops[times], trace.ops[times], check_exact=True)
    as_it_was = replay(seen, RecordedNetwork.from_trace(seen))
    np.testing.assert_allclose(as_it_was.ops["end_s"], trace.ops["end_s"], rtol=1e-9, atol=1e-9)
    ends_s = again.ops.set_index(["rank", "seq"])["end_s"]
    waits = again.ops[again.ops["kind"] == "wait"]
    over_s = ends_s.reindex(pd.MultiIndex.from_frame(waits[["rank", "waits_for"]]))
    assert (waits["end_s"].to_numpy() >= over_s.to_numpy()).all()


@given(programs((*KINDS, "broadcast", "reduce"), world=True), st.floats(1, 10))
def test_with_one_communicator_on_links_of_their_own_a_faster_network_delays_nothing(
    stripped: Strip, turns: list[Turn], factor: float
) -> None:
    """Where no two flows share a side of a link, as in test_network_laws."""
    seen = stripped(recorded(turns, SLOW))
    faster = replace(SLOW, rate_bps=SLOW.rate_bps * factor)
    before, after = replay(seen, SLOW), replay(seen, faster)
    assert (after.ops["end_s"] <= before.ops["end_s"] * (1 + 1e-12)).all()


@given(programs((*KINDS, *ROOTED)))
def test_if_everybody_waits_at_once_only_compute_and_barriers_of_time_remain(
    stripped: Strip, turns: list[Turn]
) -> None:
    """On an infinite network each transfer ends when its last member asks for it."""
    turns = [replace(turn, waited=0) for turn in turns]
    free = replay(stripped(recorded(turns, SLOW)), NETWORKS["infinite"])
    clock = [0.0] * 4
    for turn in turns:
        clock = [now + cost for now, cost in zip(clock, turn.costs_s, strict=True)]
        together = max(clock[rank] for rank in turn.ranks)
        for rank in turn.ranks:
            clock[rank] = together
    assert free.ops["end_s"].max() == pytest.approx(max(clock) + 1.0)
