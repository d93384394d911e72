"""Several schedules one after the other in one run, live and in one process, to be compared.

several.py FOLDER MODEL RANKS SCHEDULE...; leaves the traces FOLDER/live and FOLDER/local.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from simnet.drivers.launch import run_distributed
from simnet.drivers.local import run_local
from simnet.job import Job
from simnet.ops import At, Keep, Program
from simnet.schedules.base import Claims
from simnet.schedules.named import schedule

#: Steps of each: one to warm up, one that starts from it, one that goes on from that.
STEPS = 3


@dataclass(frozen=True)
class Several:
    """Starting processes takes longer than what they do here: so they do it all at once.

    Each schedule has steps of its own, and names of its own for what it keeps.
    """

    name: ClassVar[str] = "several"
    texts: tuple[str, ...]

    def __call__(self, job: Job, rank: int) -> Program:
        """One after the other; a run of a single step is the first one's."""
        steps = min(STEPS, job.steps)
        own = job.with_model().variant(steps=steps)
        for number, text in enumerate(self.texts[: job.steps // steps]):
            program, value = schedule(text)(own, rank), None
            while True:
                try:
                    op = program.send(value)
                except StopIteration:
                    break
                if isinstance(op, At):
                    op = At(op.step + number * steps, op.layer)
                if isinstance(op, Keep):
                    op = Keep(f"{op.name} {number}", op.value)
                value = yield op

    def check(self, job: Job) -> None:
        """All must do."""
        for text in self.texts:
            schedule(text).check(job.variant(steps=STEPS))

    def claims(self, job: Job) -> Claims:
        """All together."""
        all_claims = [schedule(text).claims(job.variant(steps=STEPS)) for text in self.texts]
        sent = tuple(map(sum, zip(*(claims.wire_bytes for claims in all_claims), strict=True)))
        ages = tuple(age for claims in all_claims for age in claims.ages)
        kept = tuple(map(sum, zip(*(claims.kept_bytes for claims in all_claims), strict=True)))
        return Claims(sent, ages, kept)


def main(folder: str, model: str, ranks: str, *texts: str) -> None:
    """Run them both ways."""
    several, steps = Several(texts), STEPS * len(texts)
    job = Job(model, ranks=int(ranks), steps=steps)
    keep = [f"latent {number}" for number in range(len(texts))]
    live = run_distributed(several, job, Path(folder) / "live", keep=keep)
    run_local(several, job, Path(folder) / "local", keep=keep)
    sent = live.ops.groupby("rank")["wire_bytes"].sum().tolist()
    print("as claimed" if sent == list(several.claims(job).wire_bytes) else f"sent {sent}")


if __name__ == "__main__":
    main(*sys.argv[1:])
