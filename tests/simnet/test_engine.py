"""The engine: overlap, order, and what it says when a schedule cannot end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simnet.drivers.replay import Blob
from simnet.network.topology import Links
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    At,
    Compute,
    Group,
    Op,
    Program,
    Recv,
    Send,
    Shift,
    Wait,
)
from traces.errors import ScheduleError
from traces.operation import Operation

Play = Callable[..., list[Operation]]
Busy = Callable[[float], Compute]
Sized = Callable[[int], Blob]


def then_wait(transfer: Op) -> Program:
    """A program of one transfer."""
    ticket = yield transfer
    return (yield Wait(ticket))


def ends(operations: list[Operation], kind: str) -> list[float]:
    """When the operations of a kind ended, by rank."""
    return [op.end_s for op in operations if op.kind == kind]


def test_a_transfer_overlaps_with_compute_and_only_the_rest_is_waited_for(
    toy: Play, busy: Busy, blob: Sized
) -> None:
    """4 bytes take 4.5 s; 3 s of compute hide 3 of them."""

    def program() -> Program:
        ticket = yield Shift("x", blob(4))
        yield busy(3.0)
        yield Wait(ticket)

    operations = toy([program(), program()])

    waits = [op for op in operations if op.kind == "wait"]
    assert [(op.start_s, op.end_s) for op in waits] == [(3.0, 4.5)] * 2
    assert [op.waits_for for op in waits] == [0, 0]


def test_a_transfer_starts_when_the_last_rank_asks_for_it(
    toy: Play, busy: Busy, blob: Sized
) -> None:
    """The late rank's 2 s delay everybody."""

    def program(delay_s: float) -> Program:
        yield busy(delay_s)
        yield from then_wait(AllReduce("x", blob(2)))

    # Ring all-reduce of 2 bytes on 2 ranks: 2 rounds of 1 byte, 1.5 s each.
    assert ends(toy([program(0.0), program(2.0)]), "wait") == [5.0, 5.0]


def test_a_second_wait_for_the_same_ticket_takes_no_time(toy: Play, blob: Sized) -> None:
    """A value that has come is there."""

    def program() -> Program:
        ticket = yield Shift("x", blob(1))
        first = yield Wait(ticket)
        second = yield Wait(ticket)
        assert first is second

    waits = [op for op in toy([program(), program()]) if op.kind == "wait"]
    assert [op.end_s - op.start_s for op in waits] == [1.5, 0.0] * 2


def test_a_shift_of_one_rank_gives_back_its_own_value(toy: Play, blob: Sized) -> None:
    """Nothing moves and nothing is on the wire."""
    (shift, wait) = toy([then_wait(Shift("x", blob(8)))])
    assert (shift.end_s, shift.wire_bytes, wait.end_s) == (0.0, 0, 0.0)


@pytest.mark.parametrize(
    ("transfer", "received"),
    [
        (Shift, [[9], [0], [1]]),
        (AllReduce, [[10], [10], [10]]),
        (AllGather, [[0, 1, 9]] * 3),
    ],
)
def test_values_get_to_where_they_belong(
    toy: Play, transfer: Any, received: list[list[int]]
) -> None:
    """Each kind of transfer delivers what torch.distributed would."""
    got: dict[int, list[int]] = {}

    class Number(int):
        nbytes, shape, dtype = 1, (1,), "uint8"

    def program(rank: int, number: int) -> Program:
        value = yield from then_wait(transfer("x", Number(number)))
        got[rank] = value if isinstance(value, list) else [value]

    toy([program(rank, number) for rank, number in enumerate((0, 1, 9))])
    assert [got[rank] for rank in range(3)] == received


def test_all_to_all_takes_a_chunk_from_everyone(toy: Play, blob: Sized) -> None:
    """Each of 4 ranks sends three quarters of its value."""
    operations = toy([then_wait(AllToAll("x", blob(8))) for _ in range(4)])
    assert {op.wire_bytes for op in operations if op.kind == "all_to_all"} == {6}
    # Three rounds of 2 bytes to a different rank each.
    assert ends(operations, "wait") == [3 * 2.5] * 4


def test_collectives_of_one_communicator_go_one_after_the_other(toy: Play, blob: Sized) -> None:
    """And those of two communicators at the same time, where links are free."""

    def program(first: Group, second: Group) -> Program:
        one = yield AllGather("x", blob(1), first)
        two = yield AllGather("x", blob(1), second)
        yield Wait(one)
        yield Wait(two)

    a, b = Group((0, 1), "a"), Group((0, 1), "b")
    fast = Links("latency only", rate_bps=8e9, latency_s=1.0)
    same = ends(toy([program(a, a), program(a, a)], fast), "wait")
    apart = ends(toy([program(a, b), program(a, b)], fast), "wait")
    assert same[1] == pytest.approx(2.0)
    assert apart[1] == pytest.approx(1.0)


def test_ranks_that_wait_for_each_other_are_reported_with_what_they_wait_for(
    toy: Play, blob: Sized
) -> None:
    """Two receives that face each other never end."""

    def program(peer: int) -> Program:
        yield At(3, 1)
        yield from then_wait(Recv("kv", blob(4), peer))

    with pytest.raises(ScheduleError) as failure:
        toy([program(1), program(0)], steps=4)
    message = str(failure.value)
    assert "deadlock" in message
    assert "rank 0 waits for recv 'kv' (step 3, layer 1): rank 1 did not join" in message
    assert "rank 1 waits for recv 'kv' (step 3, layer 1): rank 0 did not join" in message


def test_a_rank_that_never_joins_is_named(toy: Play, busy: Busy, blob: Sized) -> None:
    """Three of four reach the collective; the fourth has finished."""

    def idle() -> Program:
        yield busy(1.0)

    programs = [then_wait(AllGather("kv", blob(4))) for _ in range(3)]
    with pytest.raises(ScheduleError, match="rank 3 did not join") as failure:
        toy([*programs, idle()])
    assert "rank 3 has finished" in str(failure.value)


def test_a_send_that_nobody_takes_is_an_error(toy: Play, busy: Busy, blob: Sized) -> None:
    """Even when nobody waits for it."""

    def sender() -> Program:
        yield Send("x", blob(4), 1)

    def other() -> Program:
        yield busy(1.0)

    with pytest.raises(ScheduleError, match=r"nobody joined[\s\S]*rank 1 did not join"):
        toy([sender(), other()])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Blob(4, (4,), "uint8"), Blob(2, (2,), "uint8")),
        (Blob(4, (4,), "uint8"), Blob(4, (2, 2), "uint8")),
        (Blob(4, (2,), "float16"), Blob(4, (2,), "bfloat16")),
    ],
)
def test_shapes_and_types_must_be_the_same_at_both_ends(
    toy: Play, mine: Blob, theirs: Blob
) -> None:
    """The error shows both."""
    with pytest.raises(ScheduleError, match="transfers do not match") as failure:
        toy([then_wait(Send("x", mine, 1)), then_wait(Recv("x", theirs, 0))])
    for part in ("rank 0", "rank 1", str(mine.shape[0]), theirs.dtype):
        assert part in str(failure.value)


def test_two_kinds_of_collective_do_not_match(toy: Play, blob: Sized) -> None:
    """An all-gather here and an all-reduce there is a mistake, not a wait."""
    with pytest.raises(ScheduleError, match=r"all_gather.*all_reduce"):
        toy([then_wait(AllGather("x", blob(4))), then_wait(AllReduce("x", blob(4)))])


@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        (Send("x", Blob(1, (1,), "uint8"), 7), "expected another of ranks 0, 1"),
        (Send("x", Blob(1, (1,), "uint8"), 0), "expected another of ranks 0, 1"),
        (Recv("x", Blob(1, (1,), "uint8"), -1), "expected another of ranks 0, 1"),
        (AllGather("x", Blob(1, (1,), "uint8"), Group((1, 2), "b")), "whose ranks are 1, 2"),
    ],
)
def test_peers_outside_the_group_are_refused(toy: Play, transfer: Op, message: str) -> None:
    """A rank that there is not, itself, or a group that it is not in."""
    with pytest.raises(ScheduleError, match=message):
        toy([then_wait(transfer), then_wait(transfer)])


def test_a_failing_compute_is_reported_with_its_place(toy: Play) -> None:
    """Rank, step, layer, callable and cause."""

    def program() -> Program:
        yield At(2, 5)
        yield Compute(int, "no number")

    with pytest.raises(ScheduleError, match="rank 0, step 2, layer 5: compute 'int' failed"):
        toy([program()], steps=3)


def test_a_failing_schedule_is_reported_with_its_place(toy: Play, busy: Busy) -> None:
    """Not as a traceback from inside the simulator."""

    def program() -> Program:
        yield At(1)
        yield busy(1.0)
        raise KeyError("cache")

    with pytest.raises(ScheduleError, match="rank 0, step 1: the schedule itself failed"):
        toy([program()], steps=2)


@pytest.mark.parametrize("wrong", ["text", None, 3])
def test_anything_but_an_operation_is_refused(toy: Play, wrong: Any) -> None:
    """With what was yielded instead."""

    def program() -> Program:
        yield wrong

    with pytest.raises(ScheduleError, match="not an operation"):
        toy([program()])


def test_waiting_for_something_that_is_no_ticket_is_refused(toy: Play) -> None:
    """Such as the value itself."""

    def program() -> Program:
        yield Wait("kv")  # type: ignore[arg-type]

    with pytest.raises(ScheduleError, match="'kv', which is no ticket"):
        toy([program()])


@pytest.mark.parametrize("cost_s", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_is_no_time_is_refused(toy: Play, busy: Busy, cost_s: float) -> None:
    """Rather than an order of events that makes no sense."""

    def program() -> Program:
        yield busy(cost_s)

    with pytest.raises(ScheduleError, match="expected 0 or more"):
        toy([program()])


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([0, 1], "ended after 2 of 3 steps"),
        ([0, 1, 2, 3], "goes on to step 3"),
        ([0, 1, 0], "goes on to step 0"),
        ([-7], "goes on to step -7"),
        ([], "ended after 0 of 3 steps"),
    ],
)
def test_steps_come_in_order_and_there_are_as_many_as_said(
    toy: Play, busy: Busy, places: list[int], message: str
) -> None:
    """A schedule that loses count is not recorded as if it had not."""

    def program() -> Program:
        for step in places:
            yield At(step)
            yield busy(1.0)

    with pytest.raises(ScheduleError, match=message):
        toy([program()], steps=3)


@pytest.mark.parametrize("elements", [5, 1])
def test_an_all_to_all_that_does_not_split_evenly_is_refused(
    toy: Play, blob: Sized, elements: int
) -> None:
    """Live, there would be memory in it that nobody wrote."""
    with pytest.raises(ScheduleError, match="cannot be split evenly over 2 ranks"):
        toy([then_wait(AllToAll("x", blob(elements))) for _ in range(2)])


@pytest.mark.parametrize(
    ("ranks", "name", "message"),
    [
        ((1, 0), "g", "each above the one before"),
        ((0, 0, 1), "g", "each above the one before"),
        ((), "g", "one or more"),
        ((-1, 0), "g", "from 0 up"),
        ((0, 1), "compute", "choose another"),
        ((0, 1), "", "choose another"),
    ],
)
def test_a_group_that_cannot_be_is_refused(ranks: tuple[int, ...], name: str, message: str) -> None:
    """Live backends would sort its ranks, or hang."""
    with pytest.raises(ScheduleError, match=message):
        Group(ranks, name)


def test_something_that_has_no_bytes_cannot_be_transferred(toy: Play) -> None:
    """The error says which operation it was."""
    with pytest.raises(ScheduleError, match="rank 0, step -1: all_gather 'x' failed"):
        toy([then_wait(AllGather("x", None))])  # type: ignore[arg-type]


def test_a_receiver_contributes_no_bytes(toy: Play, blob: Sized) -> None:
    """What it gets was counted where it was sent."""
    operations = toy([then_wait(Send("x", blob(8), 1)), then_wait(Recv("x", blob(8), 0))])
    counted = {op.kind: (op.bytes, op.wire_bytes) for op in operations if op.kind != "wait"}
    assert counted == {"send": (8, 8), "recv": (0, 0)}
