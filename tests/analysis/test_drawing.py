"""Text timelines, compared with what they should look like."""

from __future__ import annotations

import math
from textwrap import dedent

import pytest

from analysis.drawing import draw
from traces.errors import InputError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace


def world(operations: list[Operation], ranks: int = 2, steps: int = 2) -> Trace:
    """A trace of these operations."""
    run = Run("tiny", "gather", ranks, steps, "simulated", device="toy", network="wire")
    return Trace(run, table(operations))


def blocks(rank: int, steps: int, layers: int, block_s: float, gather_s: float) -> list[Operation]:
    """Each layer: gather, wait for it, compute; each step ends with a second of head."""
    rows: list[Operation] = []
    now_s = 0.0
    for step in range(steps):
        for layer in range(layers):
            got_s = now_s + gather_s
            at = (step, layer, now_s, got_s)
            rows.append(Operation(rank, len(rows), "world", "all_gather", "kv", *at))
            rows.append(Operation(rank, len(rows), "compute", "wait", "kv", *at))
            now_s = got_s + block_s
            rows.append(
                Operation(rank, len(rows), "compute", "compute", "b", step, layer, got_s, now_s)
            )
        rows.append(
            Operation(rank, len(rows), "compute", "compute", "head", step, -1, now_s, now_s + 1)
        )
        now_s += 1
    return rows


def test_a_drawing_shows_computing_waiting_and_the_network() -> None:
    """Golden: one column a second, digits are layers, the rank and its network under each other."""
    trace = world(blocks(0, 2, 2, 3.0, 2.0) + blocks(1, 2, 2, 2.0, 3.0))

    assert draw(trace, 32) == dedent("""\
        gather on wire, 2 ranks, 2 steps: 22.0 s (predicted)
        1 column = 1.00 s; 0-9 layer, : other, . waiting, = transfer, - part
        step    0          1
        rank 0  ..000..111:..000..111:
           net  ==   ==    ==   ==
        rank 1  ...00...11:...00...11:
           net  ===  ===   ===  ===""")


def test_a_host_gap_is_blank_and_a_tail_of_the_network_is_drawn() -> None:
    """A transfer that outlives the last compute shows; so does time in which nothing happens."""
    trace = world(
        [
            Operation(0, 0, "compute", "compute", "b", 0, 0, 0.0, 4.0),
            Operation(0, 1, "world", "all_gather", "kv", 0, 0, 4.0, 20.0),
            Operation(0, 2, "compute", "compute", "b", 0, 1, 6.0, 10.0, host_s=2.0),
        ],
        ranks=1,
        steps=1,
    )

    assert draw(trace, 32).splitlines()[-2:] == [
        "rank 0  0000  1111",
        "   net      ================",
    ]


def test_symbols_get_columns_in_proportion_to_their_time() -> None:
    """With a quarter of every column spent waiting, a quarter of the columns says so."""
    trace = world(blocks(0, 1, 100, 0.75, 0.25), ranks=1, steps=1)
    line = draw(trace, 64).splitlines()[-2].removeprefix("rank 0  ")

    assert line.count(".") == pytest.approx(len(line) / 4, abs=1)


def test_with_more_layers_than_columns_digits_are_steps() -> None:
    """The key says what they are, and digits rise with the steps."""
    text = draw(world(blocks(0, 4, 30, 1.0, 0.0), ranks=1, steps=4), 60)
    digits = [symbol for symbol in text.splitlines()[-2][8:] if symbol.isdigit()]

    assert "0-9 step" in text
    assert digits == sorted(digits)
    assert set(digits) == set("0123")


@pytest.mark.parametrize("width", [32, 47, 72, 200])
def test_a_drawing_fits_its_width(width: int) -> None:
    """No line is longer, whatever the times come to."""
    trace = world(blocks(0, 3, 7, math.pi, math.e))

    assert max(map(len, draw(trace, width).splitlines()[2:])) <= width


def test_a_drawing_without_room_is_refused() -> None:
    """Below 32 characters."""
    with pytest.raises(InputError, match="31 characters wide; give 32 or more"):
        draw(world(blocks(0, 2, 2, 3.0, 2.0), ranks=1), 31)


def test_a_transfer_without_an_end_is_left_out() -> None:
    """A killed recording can be drawn as far as it got."""
    trace = world(
        [
            Operation(0, 0, "world", "all_gather", "kv", 0, 0, 0.0, math.nan),
            Operation(0, 1, "compute", "compute", "b", 0, 0, 0.0, 24.0),
        ],
        ranks=1,
    )

    assert draw(trace, 32).splitlines()[-2:] == ["rank 0  " + 24 * "0", "   net"]
