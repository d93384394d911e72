"""What all ways of expert parallelism leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from simnet.codecs.residual import Coder
from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.schedules.expert.capacity import UNBOUNDED, Capacity
from simnet.schedules.expert.conditional import NOBODY, Policy, Refreshed
from simnet.schedules.expert.number import MOSTLY, Agreement
from simnet.schedules.expert.parcel import Parcel, Sent
from simnet.schedules.expert.placement import STRIDED, Placement
from simnet.schedules.expert.routing import EVEN, Before, Routing, Where
from simnet.schedules.expert.rows import FLOAT32, Precision
from traces.errors import InputError


@dataclass(frozen=True)
class Terms:
    """Parameters of a schedule with experts on all ranks.

    `communicators` is 1 where token counts, dispatches and combines share one, as in the released
    code, where each waits for those before it; 3 gives each its own. `wire` is the type
    that rows travel in: float32 in the released code, whatever the model's, for that is what a
    layer norm gives under torch's autocast. With a `codec` rows are coded against what the same
    pairs of token and expert were in the exchange before, and `wire` says how those go that were
    not in it. `routing` is how unevenly experts are wanted in a simulation, which has no tokens to
    ask, and `agreement` which share of the pairs it finds in the exchange before. With a `capacity`
    each expert takes the same number of rows from each rank, so that nobody has to tell
    how many there are, and slots that find no room count as zero. Where slots may be left out
    (`skip`), all are sent in every `period`-th step.
    """

    placement: Placement = STRIDED
    communicators: int = 1
    wire: Precision = FLOAT32
    routing: Routing = EVEN
    skip: Policy = NOBODY
    period: int = 2
    capacity: Capacity = UNBOUNDED
    agreement: Agreement = MOSTLY
    codec: Rule | None = None
    memory: ClassVar[type[Refreshed]] = Refreshed  # what slots that may be left out are kept in

    def __post_init__(self) -> None:
        if self.codec is None:
            return
        if self.capacity != UNBOUNDED:
            raise InputError(
                "with a codec messages are as long as the receiver knows their rows, and with a "
                "capacity they are all of one length: leave one out (`wire=float8` goes with both)"
            )
        if any(residual.order != 1 for residual in self.codec.residuals()):
            raise InputError(
                "rows for experts are coded as residuals of order 1, such as residual-1bit: pairs "
                "of token and expert come and go, and have no trend; use `wire` for whole rows"
            )

    def loads(self, job: Job, ranks: int, sent: Sent, layer: int) -> list[list[int]]:
        """Of each rank's slots in an exchange, how many fall to each expert, in their places."""
        experts = job.preset.experts
        assert experts is not None
        slots = job.batch * job.preset.tokens * (1 if sent.half else experts.top)
        if self.capacity != UNBOUNDED:
            return [[self.capacity.rows(slots, experts.count)] * experts.count] * ranks
        order = self.placement.order(experts.count, ranks)
        every = [self._where(rank, sent, layer, job) for rank in range(ranks)]
        wanted = [self.routing.loads(slots, experts.count, where) for where in every]
        return [[loads[expert] for expert in order] for loads in wanted]

    def known(
        self, job: Job, loads: Sequence[Sequence[int]], layer: int, sent: Sequence[Sent]
    ) -> list[list[int]]:
        """Of these slots of the last of some exchanges, how many were in one before, too.

        Of a rank's own none are.
        """
        ranks, experts = len(loads), len(loads[0])
        *before, now = sent
        if not before:
            return [[0] * experts for _ in loads]
        order, each = self.placement.order(experts, ranks), experts // ranks
        known = []
        for rank, own in enumerate(loads):
            shares = self._shares(self._where(rank, now, layer, job), before, experts)
            pairs = zip((shares[expert] for expert in order), own, strict=True)
            known.append([round(share * load) for share, load in pairs])
            known[-1][rank * each : (rank + 1) * each] = [0] * each
        return known

    def _shares(self, where: Where, before: Sequence[Sent], experts: int) -> Sequence[float]:
        """By expert, of the slots there, those that are known."""
        then = [Before(of.step, self.skip.slot if of.half else None) for of in before]
        told = self.routing.agreement(experts, where, then)
        if told is not None:
            return told
        again = any(of == Before(where.step, where.slot) for of in then)
        return [1.0 if again else self.agreement.value] * experts

    def _where(self, rank: int, sent: Sent, layer: int, job: Job) -> Where:
        slot = self.skip.slot if sent.half else None
        return Where(rank, sent.step, job.steps, layer, job.preset.layers, slot)

    def parcel(self, job: Job, coder: Coder | None = None, *, head: int = 0) -> Parcel:
        """What a rank sends another at once."""
        return Parcel(self.wire, job.preset.hidden, job.torch_dtype, coder, head)
