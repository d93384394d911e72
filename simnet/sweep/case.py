"""One case of a sweep: all that decides what is done in which order, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from simnet.costs import CostModel, Roofline
from simnet.job import Job
from simnet.memory import Memory
from simnet.models.presets import preset
from simnet.schedules.base import TeamSchedule
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.named import innermost, on_gpu, schedule
from simnet.sweep.axes import Processor
from simnet.sweep.content import digest, fingerprint
from traces.errors import InputError, ThinwireError
from traces.units import format_bytes


@dataclass(frozen=True)
class Case:
    """A schedule with its codec, on a model, ranks and a processor; on what network is left open.

    It can be sent to another process.
    """

    model: str
    schedule: str  # "distrifusion:warmup_steps=4/residual-1bit"
    ranks: int
    steps: int
    dtype: str
    batch: int
    processor: Processor

    @property
    def key(self) -> str:
        """The same for the same content, and for nothing else."""
        return digest(
            (
                *(fingerprint(), self.model, self.schedule, self.ranks, self.steps, self.dtype),
                *(self.batch, self.processor.digest),
            )
        )

    def job(self) -> Job:
        """What is to be denoised."""
        return Job(self.model, self.ranks, self.steps, self.dtype, device="meta", images=self.batch)

    def made(self) -> TeamSchedule:
        """The schedule, as the processor runs it; raises InputError for a codec that it refuses."""
        chosen = schedule(self.schedule)
        device = self.processor.device
        if device is not None:
            return on_gpu(chosen) if device.is_gpu else chosen
        if isinstance(innermost(chosen), ExpertSchedule):
            raise InputError(
                "measured costs are for the rows that each expert had in the recorded run; sweep "
                "schedules with experts on a device's roofline"
            )
        return chosen

    def cost(self) -> CostModel:
        """How long calls take."""
        if self.processor.device is not None:
            return Roofline(self.processor.device)
        assert self.processor.costs is not None
        return self.processor.costs

    def outside_s(self) -> float:
        """What every rank does before the steps, or after them."""
        cost = self.cost()
        return cost.outside_s(preset(self.model)) if isinstance(cost, Roofline) else 0.0


class Facts(NamedTuple):
    """What holds for a case on every network. With a `reason` it cannot run at all."""

    wire_bytes: int | None = None  # all ranks, the whole run
    memory_bytes: int | None = None  # of the rank that needs most
    fits: bool | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain types under the names of the fields."""
        return self._asdict()


@lru_cache(maxsize=16)
def facts(case: Case) -> Facts:
    """What a case puts on the wire and keeps in memory; or why it cannot run."""
    try:
        made, job = case.made(), case.job()
        made.check(job)
        device = case.processor.device
        claims, weights = made.claims(job), made.weight_bytes(job)
        memory = Memory(weights, claims.kept_bytes)
        most = memory.most_bytes
    except ThinwireError as error:
        return Facts(reason=str(error))
    wire_bytes = sum(claims.wire_bytes)
    if device is None or most <= device.memory_bytes:
        return Facts(wire_bytes, most, fits=True)
    reason = (
        f"out of memory: a rank needs {format_bytes(most)} at least, of which {device.name} has "
        f"{format_bytes(device.memory_bytes)}"
    )
    return Facts(wire_bytes, most, fits=False, reason=reason)
