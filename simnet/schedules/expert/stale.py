"""Experts whose outputs are used in a later step, so that transfers have time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simnet.job import Job
from simnet.models.experts import ExpertBlock
from simnet.schedules.base import Steps, Team
from simnet.schedules.expert.base import Experts, ExpertSchedule, Gated, in_step
from simnet.schedules.expert.exchange import Expertise
from simnet.schedules.expert.freight import Coming
from simnet.schedules.expert.layers import NONE, Layers
from simnet.schedules.expert.parcel import Sent
from simnet.schedules.expert.scores import STALE, Scores
from simnet.schedules.expert.slots import Arrived, Routed
from traces.errors import InputError


@dataclass(frozen=True)
class StaleExperts(ExpertSchedule):
    """At each asynchronous layer, the experts of its partner work on what was sent to them before.

    Layers named by `sync` stay synchronous in all steps (selective synchronisation). All layers
    are synchronous in the first `warmup_steps` steps (which counts all of them), in the last
    `cooldown_steps`, and with a `stride` in every step before which a multiple of so many is left.

    As published, transfers that nobody will wait for, the last step's, are made all the same.
    """

    sync: Layers = NONE
    warmup_steps: int = 1
    cooldown_steps: int = 0
    stride: int = 0
    scores: Scores = STALE

    def partners(self, job: Job) -> dict[int, int]:
        """For each asynchronous layer, the one whose experts work while its tokens travel."""
        raise NotImplementedError

    def asynchronous(self, job: Job) -> list[int]:
        """These layers, in order."""
        layers = job.preset.layers
        synchronous = self.sync.of(layers)
        return [layer for layer in range(layers) if layer not in synchronous]

    def forced(self, job: Job) -> list[bool]:
        """See ExpertSchedule."""
        return [self._forced(step, job.steps - step) for step in range(job.steps)]

    def _forced(self, step: int, left: int) -> bool:
        due = self.stride > 0 and left % self.stride == 0
        return step < self.warmup_steps or left <= self.cooldown_steps or due

    def experts(self, job: Job, team: Team) -> Experts:
        """See ExpertSchedule."""
        return InFlight(self, job, team)

    def in_step(self, layer: int, job: Job) -> bool:
        """See ExpertSchedule; selective synchronisation."""
        return layer not in self.partners(job)

    def served_late(self, layer: int, job: Job) -> bool:
        """See ExpertSchedule; so it is unless a later layer is the partner."""
        partners = self.partners(job)
        return any(served == layer and at <= layer for at, served in partners.items())

    def kept_bytes(self, job: Job) -> tuple[int, ...]:
        """See ExpertSchedule; and rows on their way, with what is known of where they belong.

        A rank keeps outputs for its own rows of all asynchronous layers, and others' rows of those
        layers that are served late: of all where displaced, of one where interweaved. (That one
        has its outputs as well after a synchronous step, which is when most is kept.)
        """
        experts = job.preset.experts
        assert experts is not None
        tokens, row = self._rows(job), self.parcel(job).whole(1)
        sent = sum(self.loads(job, job.ranks, Sent(0, half=False), 0)[0])
        known = tokens * (experts.count * job.torch_dtype.itemsize + experts.top * 8) + sent * 8
        coming = sent * (row + (16 if self._is_coded(job) else 0))  # in which order; see Travel
        kept = [
            others + len(self.partners(job)) * (coming + known)
            for others in super().kept_bytes(job)
        ]
        for layer in filter(lambda layer: self.served_late(layer, job), self.partners(job)):
            most = map(max, zip(*self._served_rows(layer, job), strict=True))
            more = known if self.lag(layer, job) == 2 else 0  # else they are of one step's tokens
            more += self._head(job) * job.ranks
            kept = [a + b * row + more for a, b in zip(kept, most, strict=True)]
        return tuple(kept)

    def _served_rows(self, layer: int, job: Job) -> Iterator[list[int]]:
        """By step, how many rows of all slots each rank has to serve."""
        for flow in self._flows(layer, job, back=False):
            if not flow.half:
                yield [sum(column) for column in zip(*flow.rows, strict=True)]

    def weighed_by(self, now: Routed, arrived: Arrived) -> tuple[Any, Any]:
        """See ExpertSchedule."""
        return self.scores.of(now, arrived)

    def check(self, job: Job) -> None:
        """At least one step must be synchronous: there is nothing to be stale before it."""
        super().check(job)
        self.sync.of(job.preset.layers)
        for name, least in (("warmup_steps", 1), ("cooldown_steps", 0), ("stride", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"{self.name}: {name} is {getattr(self, name)}, expected {least} or more"
                )

    def lag(self, layer: int, job: Job) -> int:
        """See ExpertSchedule: a step from sending to serving where it is the same layer's turn."""
        partners = self.partners(job)
        if layer not in partners:
            return 0
        return 2 if partners[layer] == layer else 1


class InFlight:
    """One rank's experts."""

    def __init__(self, schedule: StaleExperts, job: Job, team: Team) -> None:
        self.expertise = Expertise(schedule, job, team, schedule.sparing(job))
        self.blocks: Any = job.model.blocks
        self.partners = schedule.partners(job)
        self.forced = schedule.forced(job)
        self.late = {layer for layer in self.partners if schedule.served_late(layer, job)}
        self.dispatched: dict[int, Coming] = {}  # by layer, until they are served
        self.combined: dict[int, Coming] = {}

    def __call__(self, step: int, block: ExpertBlock, gated: Gated) -> Steps:
        """See Experts."""
        expertise, layer, forced = self.expertise, block.layer, self.forced[step]
        if forced and layer == 0:
            self._forget()
        synchronous = layer not in self.partners
        left = len(self.forced) - step
        half = expertise.memory.leaves_out(left, layer, synchronous=synchronous) and not forced
        routed = yield from expertise.route(step, block, gated[1:], half=half)
        if forced or synchronous:
            dispatched, combined = yield from in_step(expertise, routed, block, gated.rows)
            if layer in self.late:
                self.dispatched[layer] = dispatched
            if not synchronous:
                self.combined[layer] = combined
        else:
            combined = yield from self._in_flight(layer, routed, gated.rows)
        return routed, (yield from expertise.arrive(combined, gated.rows))

    def _in_flight(self, layer: int, routed: Any, rows: Any) -> Steps:
        """Send this layer's tokens, serve its partner's, and take what was sent back before."""
        expertise, partner = self.expertise, self.partners[layer]
        served = yield from expertise.taken(self.dispatched.pop(partner))
        self.dispatched[layer] = yield from expertise.dispatch(rows, routed)
        outputs = yield from expertise.serve(self.blocks[partner], served, rows)
        combined = yield from expertise.taken(self.combined.pop(layer))
        self.combined[partner] = yield from expertise.combine(outputs)
        return combined

    def _forget(self) -> None:
        """A synchronous step begins anew; what is still under way will be of no use."""
        self.dispatched.clear()
        self.combined.clear()
        self.expertise.forget()
