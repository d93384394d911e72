"""Ring attention: keys and values travel round the ring while each rank attends to what it has."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.job import Job
from simnet.ops import Compute, Op, Program, Shift, Wait
from simnet.schedules.base import Claims, denoise


@dataclass(frozen=True)
class RingAttention:
    """Liu, Zaharia & Abbeel 2023, "Ring Attention with Blockwise Transformers", section 3.

    In n - 1 hops every rank sees every other rank's keys and values. A hop overlaps with the
    attention to the part that is already there, and partial results merge by log-sum-exp, so the
    output is the single device's up to rounding.
    """

    name: ClassVar[str] = "ring"

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""

        def attention(block: Any, q: Any, kv: Any, step: int) -> Generator[Op, Any, Any]:
            del step  # every step is the same
            partial = None
            for hop in range(job.ranks):
                last = hop == job.ranks - 1
                incoming = None if last else (yield Shift("kv", kv))
                if partial is None:
                    partial = yield Compute(block.attend, q, kv)
                else:
                    partial = yield Compute(block.attend_more, q, kv, *partial)
                if incoming is not None:
                    kv = yield Wait(incoming)
            return partial

        return denoise(job, rank, attention)

    def check(self, job: Job) -> None:
        """Every job whose tokens split evenly will do."""

    def claims(self, job: Job) -> Claims:
        """2 (T/n) D (n - 1) elements a layer and step; never stale."""
        hops = job.ranks - 1
        return Claims(
            wire_bytes=hops * job.kv_bytes * job.preset.layers * job.steps,
            ages=(0,) * job.steps,
        )
