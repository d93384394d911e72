"""Runs a tape for a block of points at once, compiled: each instruction for all of them.

All times are in rows, one column a point, so that inner loops go over neighbours in memory and a
block fits into a core's cache. docs/lowering.md says what each instruction means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

#: Instructions; what they are followed by stands at the function that carries each out.
RUN, COPY, LATEST, SEND, FLOW, AWAIT, LAG, SLOWED, AFTER = range(9)
#: Why a point is refused: bits.
SHARED, AHEAD, TIED = 1, 2, 4
#: Times that differ by less than this factor are one: sums in another order round differently.
_NEAR = 8e-15
#: Rows that instructions use for themselves: a message's first and last bit, since when its
#: receiver has been ready, and when both ends are.
_BEGINS, _ENDS, _SINCE, _MEET = range(4)


class Block(NamedTuple):
    """B points: what instructions refer to, and what comes of them."""

    numbers: Any  # the tape's
    works: Any  # seconds of each piece of computing, (S, B)
    ways: Any  # rate, latency, overhead and rendezvous of each way, (W, 4, B)
    slow: Any  # (2, B): what a transfer takes of the processor; how much longer computes then take
    rows: Any  # times, (rows, B)
    refused: Any  # bits, (B,)


def _compiled(function: Function) -> Function:
    return cast("Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@_compiled
def _occupy(block: Block, side: int) -> None:
    """The message from _BEGINS to _ENDS crosses a side, which no other may do meanwhile."""
    begins, ends, until = block.rows[_BEGINS], block.rows[_ENDS], block.rows[side]
    for i in range(len(until)):
        if until[i] - begins[i] > _NEAR * until[i] and ends[i] > begins[i]:
            block.refused[i] |= SHARED
        until[i] = max(until[i], ends[i])


@_compiled
def _transmit(block: Block, meet: Any, since: Any, way: Any, nbits: float) -> None:
    """A message of which both ends are ready at `meet`, the receiver for one `since`."""
    begins, ends = block.rows[_BEGINS], block.rows[_ENDS]
    rate_bps, message_s, ready_s = way[0], way[2], way[3]
    for i in range(len(begins)):
        begins[i] = meet[i] + (message_s[i] + max(0.0, since[i] + ready_s[i] - meet[i]))
        ends[i] = begins[i] + nbits / rate_bps[i]


@_compiled
def _send(step: Any, block: Block) -> int:
    """Way, bits, sender, receiver, line; sent, arrived, start; number of sides, sides."""
    sender, receiver, line = block.rows[step[3]], block.rows[step[4]], block.rows[step[5]]
    sent, arrived, start = block.rows[step[6]], block.rows[step[7]], block.rows[step[8]]
    since, ends = block.rows[_SINCE], block.rows[_ENDS]
    for i in range(len(line)):
        since[i] = max(receiver[i], line[i])
        start[i] = max(sender[i], since[i])
    way = block.ways[step[1]]
    _transmit(block, start, since, way, block.numbers[step[2]])
    for i in range(len(line)):
        sent[i] = ends[i]
        arrived[i] = ends[i] + way[1, i]
        line[i] = arrived[i]
    for side in range(step[9]):
        _occupy(block, step[10 + side])
    return 10 + int(step[9])


@_compiled
def _flow(step: Any, block: Block) -> int:
    """Way, bits; source, destination, since; their ends, which are first; number of sides, sides.

    "First" are those of both ends that nothing else of this round has been written to: 1 + 2.
    """
    src, dst, meet = block.rows[step[3]], block.rows[step[4]], block.rows[_MEET]
    sent, arrived, ends = block.rows[step[6]], block.rows[step[7]], block.rows[_ENDS]
    for i in range(len(meet)):
        meet[i] = max(src[i], dst[i])
    way = block.ways[step[1]]
    _transmit(block, meet, block.rows[step[5]], way, block.numbers[step[2]])
    for i in range(len(meet)):
        sent[i] = ends[i] if step[8] & 1 else max(sent[i], ends[i])
    for i in range(len(meet)):
        end = ends[i] + way[1, i]
        arrived[i] = end if step[8] & 2 else max(arrived[i], end)
    for side in range(step[9]):
        _occupy(block, step[10 + side])
    return 10 + int(step[9])


@_compiled
def _await(step: Any, block: Block) -> int:
    """Clock, of which what was waited stands behind; ends of both parts; wake."""
    clock, exposed = block.rows[step[1]], block.rows[step[1] + 1]
    one, other, wake_s = block.rows[step[2]], block.rows[step[3]], block.numbers[step[4]]
    for i in range(len(clock)):
        end = max(one[i], other[i])
        if wake_s > 0.0 and end == clock[i]:
            block.refused[i] |= TIED  # whether it has to wake depends on what came first
        if end > clock[i]:
            exposed[i] += end - clock[i] + wake_s
            clock[i] = end + wake_s
    return 5


@_compiled
def _covered(block: Block, tracks: Any, point: int, now: float) -> tuple[float, float]:
    """Until when one of the transfers under way goes on, and when the next one begins."""
    until, following = now, np.inf
    rows = block.rows
    for track in range(0, len(tracks), 2):
        low, last = tracks[track], tracks[track + 1]
        while low <= last and rows[low + 1, point] <= now:
            low += 2
        if low <= last:
            if rows[low, point] <= now:
                until = max(until, rows[low + 1, point])
            else:
                following = min(following, rows[low, point])
    return until, following


@_compiled
def _slowed(step: Any, block: Block) -> int:
    """Clock, of which what was computed is two behind; work; number of tracks, tracks.

    Under a transfer the work goes on at 1 - share of its speed.
    """
    count = int(step[3])
    tracks, work = step[4 : 4 + 2 * count], block.works[step[2]]
    clock, computed = block.rows[step[1]], block.rows[step[1] + 2]
    for i in range(len(clock)):
        now, left, share = clock[i], work[i], block.slow[0, i]
        while share > 0.0 and left > 0.0:
            until, following = _covered(block, tracks, i, now)
            if until == now and left <= following - now:
                break
            if left * block.slow[1, i] <= until - now:
                left *= block.slow[1, i]
                break
            here = until if until > now else following
            left -= (here - now) * (1.0 - share) if until > now else here - now
            now = here
        now += max(left, 0.0)
        computed[i] += now - clock[i]
        clock[i] = now
    return 4 + 2 * count


@_compiled
def _after(step: Any, block: Block) -> int:
    """One time, which must not be before the other, where computes are slowed down."""
    one, other = block.rows[step[1]], block.rows[step[2]]
    for i in range(len(one)):
        if block.slow[0, i] > 0.0 and one[i] < other[i]:
            block.refused[i] |= AHEAD
    return 3


@_compiled
def play(code: Any, block: Block) -> None:
    """Carry out a tape: `code` (n,) has instructions, each with what it refers to behind it."""
    rows, place = block.rows, 0
    while place < len(code):
        step = code[place:]
        if step[0] == RUN:  # clock, work
            rows[step[1]] += block.works[step[2]]
            place += 3
        elif step[0] == COPY:  # to, from
            rows[step[1]] = rows[step[2]]
            place += 3
        elif step[0] == LATEST:  # to, of these two
            rows[step[1]] = np.maximum(rows[step[2]], rows[step[3]])
            place += 4
        elif step[0] == SEND:
            place += _send(step, block)
        elif step[0] == FLOW:
            place += _flow(step, block)
        elif step[0] == AWAIT:
            place += _await(step, block)
        elif step[0] == LAG:  # clock, number
            rows[step[1]] += block.numbers[step[2]]
            place += 3
        elif step[0] == SLOWED:
            place += _slowed(step, block)
        else:
            place += _after(step, block)
