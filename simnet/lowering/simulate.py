"""The discrete-event simulator on an operation graph: any network, contention and chance too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from simnet.drivers.engine import Work, collector_paused, play
from simnet.drivers.host import NO_HOST, HostCosts
from simnet.drivers.observer import Observer
from simnet.drivers.replay import Blob, RecordedCall
from simnet.lowering.graph import COMPUTE, WAIT, Graph, Move
from simnet.lowering.matching import shifted
from simnet.ops import TRANSFERS, At, Barrier, Compute, Lag, Program, Rooted, Shift, Wait
from traces.errors import InputError
from traces.operation import table
from traces.run import Run
from traces.shape import parse_shape
from traces.trace import Trace
from traces.versions import versions

if TYPE_CHECKING:
    from simnet.network.network import Network


def simulate_graph(
    graph: Graph,
    cost_s: Sequence[float],
    network: Network,
    *,
    transfer_share: float = 0.0,
    outside_s: float = 0.0,
    host: HostCosts = NO_HOST,
    cores: int | None = None,
    device: str = "given",
) -> Trace:
    """What `simnet.drivers.simulated.simulate` says of the schedule that the graph is of.

    `cost_s` has the seconds of each of the graph's calls, (C,); a transfer under way takes
    `transfer_share` of the processor. The others are as for `simulate`.

    Raises InputError where the costs are not one for each call.
    """
    if len(cost_s) != len(graph.calls):
        raise InputError(f"{len(cost_s)} costs, expected {len(graph.calls)}: one for each call")
    works = [
        Work(None, call.name, call.shape, float(seconds), transfer_share)
        for call, seconds in zip(graph.calls, cost_s, strict=True)
    ]

    def machine(op: Compute) -> Work:
        number: int = op.args[0]
        return works[number]

    programs = [_program(graph, rank, outside_s) for rank in range(graph.ranks)]
    run = Run(
        **asdict(graph.origin),
        driver="simulated",
        device=device,
        network=network.name,
        versions=versions(),
    )
    with collector_paused():
        operations, _ = play(
            *(programs, graph.origin.steps, machine, network, Observer()), host=host, cores=cores
        )
        return Trace(run, table(operations))


def _program(graph: Graph, rank: int, outside_s: float) -> Program:
    """One rank's operations, as the program that asks for them."""
    tickets: dict[int, Any] = {}
    here = (-1, -1)
    calls = [Compute(RecordedCall(call.name), number) for number, call in enumerate(graph.calls)]
    if outside_s:
        yield Lag(outside_s)
    for seq, (kind, what, step, layer) in enumerate(graph.program(rank)):
        if (step, layer) != here:
            here = (step, layer)
            yield At(step, layer)
        if kind == COMPUTE:
            yield calls[what]
        elif kind == WAIT:
            yield Wait(tickets[what])
        else:
            tickets[seq] = yield _transfer(graph.moves[what], rank)
    return None


@cache
def _transfer(move: Move, rank: int) -> Any:
    kind = _KINDS[move.kind]
    if issubclass(kind, Barrier):
        return kind(move.name, move.group)
    ((shape, dtype),) = parse_shape(move.shape)
    value = Blob(move.nbytes, shape, dtype)
    if move.sends is not None:
        return kind(move.name, value, move.group, sends=move.sends, takes=move.takes)
    if issubclass(kind, Shift):
        ranks = move.group.ranks
        by = ranks.index(shifted(move, rank)[0]) - ranks.index(rank)
        return kind(move.name, value, by, move.group)
    if move.kind in ("send", "recv") or issubclass(kind, Rooted):
        return kind(move.name, value, move.peer, move.group)
    return kind(move.name, value, move.group)


_KINDS: dict[str, Any] = {kind.kind: kind for kind in TRANSFERS}
