"""How long the same schedules would take where they are meant to run: predicted, not measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.models.presets import preset
from simnet.network.files import find
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import on_gpu
from traces.summary import summarize


@dataclass(frozen=True)
class Forecast:
    """On what to predict: a published model's shape, a GPU, and networks."""

    model: str
    gpu: str
    images: int  # of a batch: of each rank that has images of its own, else of all together
    networks: tuple[str, ...]

    def check(self, schedule: TeamSchedule, ranks: int) -> None:
        """Raises InputError where a name is unknown, or the schedule cannot run the model there."""
        device(self.gpu)
        for network in map(find, self.networks):
            if ranks > 1:
                network.path(0, ranks - 1)  # which must have a place
        schedule.check(self._job(ranks, 1))

    def made(self, schedule: TeamSchedule, ranks: int) -> int:
        """How many images all ranks together make in the time that is predicted."""
        return len(schedule.numbers(self._job(ranks, 1)))

    def latencies_s(
        self, schedule: TeamSchedule, ranks: int, steps: int, networks: tuple[str, ...]
    ) -> Iterator[tuple[str, float]]:
        """Names of networks, and how long a batch takes on each."""
        roofline = Roofline(device(self.gpu))
        job = self._job(ranks, steps)
        outside_s = roofline.outside_s(job.preset)
        for name in networks:
            trace = simulate(on_gpu(schedule), job, roofline, find(name), outside_s=outside_s)
            yield name, summarize(trace).total_s

    def _job(self, ranks: int, steps: int) -> Job:
        return Job(self.model, ranks, steps, "bfloat16", device="meta", images=self.images)


def default_model(model: str) -> str:
    """The published model that stands for a small one: with experts where that has some."""
    return "dit-moe-xl" if preset(model).experts is not None else "dit-xl-2"
