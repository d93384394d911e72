"""What all ways of expert parallelism share: images of a rank's own, and experts elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from simnet.codecs.bits import packed_bytes
from simnet.codecs.named import spec
from simnet.job import Job
from simnet.models.experts import ExpertBlock
from simnet.ops import Compute, Keep, Program
from simnet.schedules.base import (
    Claims,
    Guide,
    Steps,
    Team,
    TeamSchedule,
    denoised,
    weight_bytes,
)
from simnet.schedules.expert.capacity import UNBOUNDED
from simnet.schedules.expert.conditional import NOBODY, Turn, turns
from simnet.schedules.expert.exchange import Expertise
from simnet.schedules.expert.placement import check_experts
from simnet.schedules.expert.slots import Arrived, Routed, weigh
from simnet.schedules.expert.terms import Terms
from simnet.schedules.expert.volume import Flow, exchanges, remembered
from traces.errors import InputError
from traces.units import format_bytes


class Gated(NamedTuple):
    """What the gate of a layer says of a rank's tokens."""

    rows: Any  # (N, D) tokens
    scores: Any  # (N, E)
    chosen: Any  # (N, k)


class Experts(Protocol):
    """One rank's way of having its tokens pass through experts, for a whole run."""

    def __call__(self, step: int, block: ExpertBlock, gated: Gated) -> Steps:
        """(Routed, Arrived): where the layer's tokens were sent to, and what has come back."""
        ...


@dataclass(frozen=True)
class ExpertSchedule(Terms, TeamSchedule):
    """Each rank denoises `images` images of its own, and has its share of each layer's experts."""

    codecs: ClassVar[str] = "residual-NAME, for pairs that both ends know"

    def experts(self, job: Job, team: Team) -> Experts:
        """A rank's, for a whole run."""
        raise NotImplementedError

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """See TeamSchedule."""
        number = job.number * team.size + team.place
        own = job.with_model().variant(ranks=1, number=number)
        experts = self.experts(own, team)

        def layer(step: int, block: Any, h: Any, c: Any) -> Steps:
            q, kv, carry = yield Compute(block.project, h, c)
            yield Keep("kv", kv)
            out, _ = yield Compute(block.attend, q, kv)
            tokens, *gated = yield Compute(block.route, h, carry, out)
            now, arrived = yield from experts(step, block, Gated(*gated))
            yield Keep("chosen", now.chosen)
            yield Keep("scores", now.scores)
            yield Keep("age", self._ages(step, arrived))
            yield Keep("outputs", arrived.out)
            scores, chosen = self.weighed_by(now, arrived)
            weighed = yield Compute(weigh, arrived.out, scores, chosen)
            return (yield Compute(block.merge, tokens, gated[0], weighed, carry))

        return (yield from denoised(own, own.part(0, 1), layer, guide))

    def _ages(self, step: int, arrived: Arrived) -> Any:
        """How many steps old each slot's output is (2,); of random slots the one sent is first."""
        ages = [step - of for of in arrived.steps]
        return torch.tensor(ages[::-1] if self.skip.name == "high" else ages)

    def weighed_by(self, now: Routed, arrived: Arrived) -> tuple[Any, Any]:
        """Scores (N, E), and the experts (N, k) whose scores weigh what has arrived."""
        del now
        return arrived.routed.scores, arrived.experts

    def check(self, job: Job) -> None:
        """There must be experts, as many on each rank."""
        experts = job.preset.experts
        if experts is None:
            raise InputError(f"{self.name}: {job.model_name} has no experts; choose a DiT-MoE")
        check_experts(self.name, experts.count, job.ranks)
        if self.communicators not in (1, 3):
            raise InputError(
                f"{self.name}: communicators is {self.communicators}, expected 1 (for counts, "
                "dispatch and combine) or 3 (one for each)"
            )
        if self.period < 1:
            raise InputError(f"{self.name}: period is {self.period}, expected 1 or more")
        for layer in range(job.preset.layers):
            self.halves(layer, job)  # which fails where nothing would be laid by
        if self.capacity.value > experts.count:
            raise InputError(
                f"{self.name}: capacity is {self.capacity}, expected 0 to {experts.count}: no "
                f"expert can be wanted more than {experts.count} times as often as on average"
            )
        if job.ranks > 1:
            self._check_codec(job, self._rows(job) * experts.top // job.ranks)
        if self.skip != NOBODY and experts.top != 2:
            raise InputError(
                f"{self.name}: skip={self.skip} leaves out one of two slots, and tokens of "
                f"{job.model_name} have {experts.top}"
            )

    def _check_codec(self, job: Job, rows: int) -> None:
        """Coded, so many rows must be fewer bytes than whole, or no row would ever be coded."""
        shape, dtype = (rows, job.preset.hidden), job.torch_dtype
        whole = rows * self.wire.row_bytes(job.preset.hidden, dtype.itemsize)
        for residual in self.codec.residuals() if self.codec is not None else ():
            if (coded := residual.nbytes(shape, dtype)) >= whole:
                raise InputError(
                    f"{self.name}: {spec(residual)} makes {format_bytes(coded)} of {rows} rows "
                    f"that take {format_bytes(whole)} with wire={self.wire}, so that none would be "
                    "coded; use a codec of fewer bits, or none"
                )

    def lag(self, layer: int, job: Job) -> int:
        """How many steps late a layer's outputs come."""
        del layer, job
        return 0

    def served_late(self, layer: int, job: Job) -> bool:
        """Whether a layer's experts work on tokens of the step before."""
        del layer, job
        return False

    def forced(self, job: Job) -> list[bool]:
        """Which steps are synchronous in all layers, whatever the layer."""
        return [step == 0 for step in range(job.steps)]

    def sparing(self, job: Job) -> set[int]:
        """Layers that leave slots out in some steps."""
        return {layer for layer in range(job.preset.layers) if any(self.halves(layer, job))}

    def halves(self, layer: int, job: Job) -> list[bool]:
        """In which steps a layer sends one slot of each token alone."""
        return [turn.half for turn in self._turns(layer, job)]

    def _turns(self, layer: int, job: Job) -> list[Turn]:
        # Every period-th step sends all slots; where none may be left out, every step does.
        memory = self.memory(1 if self.skip == NOBODY else self.period)
        lag = self.lag(layer, job)
        return turns(memory, self.forced(job), lag, synchronous=self.in_step(layer, job))

    def in_step(self, layer: int, job: Job) -> bool:
        """Whether a layer is synchronous where others need not be."""
        del layer, job
        return False

    def claims(self, job: Job) -> Claims:
        """2 k N D (n - 1)/n elements a layer and step where experts are wanted evenly; counts.

        With a codec, of the share of rows that both ends know (`agreement`) the codec's bytes, and
        for each dispatch a bit for each token and expert.
        """
        layers = range(job.preset.layers)
        sent = [self._counts_bytes(job)] * job.ranks
        for layer in layers:
            for back in (False, True):
                flows = self._flows(layer, job, back=back)
                every = (flow.sent_bytes(back=back) for flow in flows)
                sent = [sum(all_steps) for all_steps in zip(sent, *every, strict=True)]
        ages = (max(ages) for ages in zip(*(self._ages_of(x, job) for x in layers), strict=True))
        return Claims(tuple(sent), tuple(ages), self.kept_bytes(job))

    def _counts_bytes(self, job: Job) -> int:
        """What a rank tells the others in the whole run, of how many rows there are and known."""
        experts = job.preset.experts
        assert experts is not None
        told = 0 if self.capacity != UNBOUNDED else 2 if self._is_coded(job) else 1
        return told * (job.ranks - 1) * experts.count * 8 * job.preset.layers * job.steps

    def _is_coded(self, job: Job) -> bool:
        return self.codec is not None and job.ranks > 1

    def _head(self, job: Job) -> int:
        """Bytes that say which pairs are in a message of tokens."""
        experts = job.preset.experts
        assert experts is not None
        pairs = self._rows(job) * experts.count // job.ranks
        return packed_bytes(pairs, 1) if self._is_coded(job) else 0

    def _flows(self, layer: int, job: Job, *, back: bool) -> Iterator[Flow]:
        """By step, the layer's dispatch, or the combine that goes `back`."""
        halves, forced = self.halves(layer, job), self.forced(job)
        served = self._served(layer, job) if back else range(job.steps)
        for sent in exchanges(served, forced, halves):
            step, half = sent[-1]
            loads = self.loads(job, job.ranks, sent[-1], layer)
            known, parcel = loads, self.parcel(job)
            if self.codec is not None and self._is_coded(job):
                known = self.known(job, loads, layer, sent)
                coder = self.codec("combine" if back else "dispatch", layer, step)
                parcel = self.parcel(job, coder, head=0 if back else self._head(job))
            yield Flow.of(loads, known, half=half, parcel=parcel)

    def _served(self, layer: int, job: Job) -> list[int]:
        """By step, of which step's tokens a layer's outputs are that go back."""
        late = self.served_late(layer, job)
        return [step - (late and not forced) for step, forced in enumerate(self.forced(job))]

    def _ages_of(self, layer: int, job: Job) -> list[int]:
        """By step, the age of a layer's oldest outputs."""
        return [turn.oldest for turn in self._turns(layer, job)]

    def kept_bytes(self, job: Job) -> tuple[int, ...]:
        """What each rank keeps from a step for the next at most: slots that may be left out.

        With a codec also bases, of all rows that go to others and that come from them, on their
        way to experts and on their way back: where experts are wanted evenly, and no slots are
        left out, 4 k N (n - 1)/n rows in each layer.
        """
        width = job.preset.hidden * job.torch_dtype.itemsize + 8  # a row, and whose it is
        kept = [len(self.sparing(job)) * self._rows(job) * width] * job.ranks
        if self._is_coded(job):
            for layer in range(job.preset.layers):
                for back in (False, True):
                    pairs = remembered(self._flows(layer, job, back=back))
                    kept = [a + b * width for a, b in zip(kept, pairs, strict=True)]
        return tuple(kept)

    @staticmethod
    def _rows(job: Job) -> int:
        """N, of a rank's tokens."""
        return job.batch * job.preset.tokens

    def gathered(self, parts: Sequence[Tensor]) -> Tensor:
        """See TeamSchedule; the ranks' images one after the other."""
        return torch.cat(tuple(parts))

    def numbers(self, job: Job) -> range:
        """See TeamSchedule."""
        first = job.number * job.ranks * job.images
        return range(first, first + job.ranks * job.images)

    def moved(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; every rank has whole images."""
        return (job.preset.tokens,) * job.ranks

    def weight_bytes(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; a rank has its experts, and all of the rest."""
        model = job.model
        blocks: Any = model.blocks  # with experts, as `check` has seen
        everyone = [expert for block in blocks for expert in block.experts]
        outside = weight_bytes(model) - weight_bytes(*everyone)
        each = weight_bytes(*everyone) // job.ranks
        return (outside + each,) * job.ranks


def in_step(expertise: Expertise, routed: Routed, block: ExpertBlock, rows: Any) -> Steps:
    """A layer's tokens to their experts and back, waiting for each: both transfers, over."""
    dispatched = yield from expertise.taken((yield from expertise.dispatch(rows, routed)))
    outputs = yield from expertise.serve(block, dispatched, rows)
    combined = yield from expertise.taken((yield from expertise.combine(outputs)))
    return dispatched, combined
