"""A schedule of one's own: every rank waits for everybody's keys and values in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from simnet import Job, RingAttention, Roofline, device, run_local, simulate
from simnet.network.presets import network
from simnet.ops import AllGather, Compute, Wait
from simnet.schedules.base import Attention, Claims, SequenceParallel, Steps, Team
from simnet.schedules.single import Single
from simnet.schedules.volume import Volume
from traces import summarize


@dataclass(frozen=True)
class GatherAttention(SequenceParallel):
    """One all-gather of keys and values a layer, waited for at once."""

    name: ClassVar[str] = "gather"

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        del job

        def attention(block: Any, q: Any, kv: Any, step: int) -> Steps:
            del step
            ticket = yield AllGather("kv", kv, team.group)
            patches = yield Wait(ticket)
            return (yield Compute(block.attend_patches, q, *patches))

        return attention

    def claims(self, job: Job) -> Claims:
        """To n - 1 others one rank's keys and values a layer and step; never stale."""
        sent = (job.ranks - 1) * Volume.of_kv(job).sent(None, job)
        return Claims((sent,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


def main() -> None:
    """Compare it with the ring, which hides a part of the same volume, and with one device."""
    job = Job("dit-xl-2-512", ranks=4, steps=4, dtype="bfloat16")
    for schedule in (RingAttention(), GatherAttention()):
        trace = simulate(schedule, job, Roofline(device("l20")), network("ethernet-10g"))
        summary = summarize(trace)
        waiting = summary.exposed_s / summary.total_s
        print(f"{schedule.name}: {summary.total_s:.3f} s (predicted), {waiting:.0%} of it waiting")

    with TemporaryDirectory() as folder:
        job, alone = (Job("mmdit-tiny", ranks=ranks, steps=3) for ranks in (4, 1))
        trace = run_local(GatherAttention(), job, Path(folder) / "own", keep=["latent"])
        whole = run_local(Single(), alone, Path(folder) / "whole", keep=["latent"])
        # The tokens of all ranks, one after the other, are those of the single device.
        parts = trace.activations("latent").isel(step=-1, layer=0).to_numpy()
        (latent,) = whole.activations("latent").isel(step=-1, layer=0).to_numpy()
        np.testing.assert_allclose(np.concatenate(parts, axis=1), latent, rtol=1e-4, atol=1e-5)
        sent = trace.ops.groupby("rank")["wire_bytes"].sum()
        assert sent.tolist() == list(GatherAttention().claims(job).wire_bytes)


if __name__ == "__main__":
    main()
