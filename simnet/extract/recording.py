"""A trace of what was extracted: one forward of each rank, again in every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from simnet import ops
from simnet.costs import Call, CostModel
from simnet.drivers.blob import Blob
from simnet.drivers.engine import collector_paused, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import RecordedCall, as_recorded
from simnet.extract.noted import Exchange, Part, Pause, Stretch
from simnet.extract.subject import Subject
from simnet.network.presets import NETWORKS
from simnet.ops import At, Compute, Program, Ticket, Transfer, Wait
from traces.operation import table
from traces.run import Run
from traces.trace import Trace
from traces.versions import versions

_KINDS: dict[str, type[Transfer]] = {kind.kind: kind for kind in ops.TRANSFERS}
_WITH_PEER = ("send", "recv", "broadcast", "reduce", "gather", "scatter")
_NETWORK = NETWORKS["infinite"]


def recording(subject: Subject, parts: Sequence[Part], cost: CostModel, steps: int) -> Trace:
    """The rows that the simulated driver would leave, with transfers that take no time.

    Raises ScheduleError where the ranks do not fit together.
    """

    @cache
    def seconds(stretch: Stretch) -> float:
        call = Call(stretch.name, stretch.shape, stretch.kernels, parts[0].dtype)
        return cost.seconds(call)

    run = Run(
        model=subject.model,
        schedule=subject.schedule,
        ranks=len(parts),
        steps=steps,
        driver="extracted",
        device=cost.name,
        network=_NETWORK.name,
        dtype=parts[0].dtype,
        versions=versions(),
    )
    programs = [_program(part, seconds, steps) for part in parts]
    with collector_paused():
        operations, _ = play(programs, steps, as_recorded, _NETWORK, Observer())
        return Trace(run, table(operations))


def _program(part: Part, seconds: Callable[[Stretch], float], steps: int) -> Program:
    for step in range(steps):
        yield At(step)
        tickets: list[Ticket] = []
        layer = -1
        for each in part.noted:
            if each.layer != layer:
                layer = each.layer
                yield At(step, layer)
            if isinstance(each, Stretch):
                yield Compute(RecordedCall(each.name), each.shape, seconds(each))
            elif isinstance(each, Pause):
                yield Wait(tickets[each.exchange])
            else:
                tickets.append((yield transfer(each)))
    return None


def transfer(exchange: Exchange) -> Transfer:
    """What a schedule would ask for."""
    kind: Any = _KINDS[exchange.kind]
    if exchange.kind == "barrier":
        barrier: Transfer = kind(exchange.name, exchange.group)
        return barrier
    value = Blob(exchange.nbytes, exchange.shape, exchange.dtype)
    more: dict[str, Any] = {"group": exchange.group}
    if exchange.kind == "all_to_all":
        more |= {"sends": exchange.sends, "takes": exchange.takes}
    peer = [exchange.group.ranks[exchange.peer]] if exchange.kind in _WITH_PEER else []
    made: Transfer = kind(exchange.name, value, *peer, **more)
    return made
