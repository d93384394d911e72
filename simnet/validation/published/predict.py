"""Predicts how long a run takes from the run on one GPU, the model's shape and the machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from simnet.costs import Call, CostModel, Roofline, Scaled
from simnet.devices import Device
from simnet.drivers.engine import collector_paused, play
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import MetaMachine
from simnet.job import Job
from simnet.network.collectives.selection import ALGORITHMS, Fixed, algorithms
from simnet.network.presets import NETWORKS
from simnet.network.topology import Links, Topology
from simnet.schedules.base import Schedule
from simnet.schedules.named import schedule as named
from simnet.schedules.ring import RingAttention
from simnet.schedules.usp import USP
from simnet.validation.published.constants import Constants
from traces.errors import InputError

#: More kernels than any step of these models launches.
_MOST_KERNELS = 20_000
#: Layers of which a simulation is no faster for leaving any out.
_FEW = 5


#: Steps after which displaced gathers that take longer than the computing have piled up.
_SETTLED = 10


class Run(NamedTuple):
    """What is to be predicted."""

    shape: str  # a preset's name, with its own tokens
    padded: str  # with tokens that split evenly
    schedule: str
    ranks: int
    steps: int
    alone_s: float  # on one GPU, all of it
    serial_s: float  # of that, what more GPUs do not make less
    eager: bool  # kernels are launched one by one from Python


@dataclass(frozen=True)
class Predictor:
    """Predictions for one machine."""

    device: Device
    network: Topology
    constants: Constants

    def seconds(self, run: Run) -> float:
        """How long the run takes; raises InputError where the schedule cannot run it."""
        serial_s = min(run.serial_s, 0.5 * run.alone_s)
        roofline = Roofline(self.device)
        alone_s = run.steps * _alone_s(run.shape, self.device)
        cost = Scaled(roofline, (run.alone_s - serial_s) / alone_s)
        pace = paced(Job(run.padded, run.ranks, dtype="bfloat16"), run.schedule, cost, self.network)
        floor_s = self._floor_s(run, pace.step_s) if run.eager else 0.0
        step_s = max(floor_s, pace.step_s + self._merging_s(run))
        return serial_s + pace.total_s(run.steps) + run.steps * (step_s - pace.step_s)

    def _merging_s(self, run: Run) -> float:
        """What a step's partial results of ring attention take beyond what is simulated."""
        job = Job(run.padded, run.ranks)
        forwards = job.preset.forwards
        ranks = run.ranks
        if run.schedule.startswith("cfg+"):
            forwards, ranks = 1, ranks // 2
        hops = ring_size(run.schedule, ranks) - 1
        elements = forwards * job.preset.tokens * job.preset.hidden / ranks
        nbytes = job.preset.layers * hops * elements * self.constants.merge_bytes
        return nbytes / self.device.memory_bytes_per_s

    def _floor_s(self, run: Run, step_s: float) -> float:
        """What the host takes to issue a step, where that can matter."""
        constants = self.constants
        if step_s > _MOST_KERNELS * constants.kernel_s:
            return 0.0
        name = run.padded.split(":")[0]
        try:
            kernels, transfers = _issued(name, run.schedule, run.ranks)
        except InputError:  # these tokens do not split evenly
            kernels, transfers = _issued(run.padded, run.schedule, run.ranks)
        return kernels * constants.kernel_s + transfers * constants.transfer_s


def ring_size(text: str, ranks: int) -> int:
    """How many ranks pass keys and values round; 1 where none do."""
    inner = named(text.rpartition("+")[2])
    if isinstance(inner, USP):
        return ranks // inner.ulysses
    return ranks if isinstance(inner, RingAttention) else 1


class Pace(NamedTuple):
    """Of a run that repeats itself step after step."""

    steps: int  # that were simulated
    all_s: float  # what they took
    step_s: float  # what another one takes

    def total_s(self, steps: int) -> float:
        """So many steps."""
        return self.all_s + (steps - self.steps) * self.step_s


def paced(job: Job, text: str, cost: CostModel, network: Topology) -> Pace:
    """Simulate a few steps, the last of which are alike.

    Synchronous schedules are so from the first step on. In a pipeline all patches are under way
    from the second; what displaced gathers leave for the next step has settled after some. The last
    step of those gathers nothing.

    A pipeline is taken without the synchronous steps that it begins with: published charts are the
    best of a sweep over these, none included (xDiT, benchmark/single_node_latency_test.py). It
    fills up once, patch by patch.
    """
    if "pipefusion" in text:
        ends = _ends(job, text, 4, cost, network)
        step_s = ends[3] - ends[2]
        inner = named(text.rpartition("+")[2])
        stages = job.ranks // (2 if text.startswith("cfg") else 1)
        patches = getattr(inner, "patches", 0) or stages
        return Pace(0, step_s * (stages - 1) / patches, step_s)
    if "distrifusion" in text:
        ends = _ends(job, text, _SETTLED, cost, network)
        return Pace(_SETTLED, ends[-1], ends[-2] - ends[-3])
    return _in_step(job, text, cost, network)


def _in_step(job: Job, text: str, cost: CostModel, network: Topology) -> Pace:
    """Where all ranks go through the layers in step, and layers of a kind take the same time.

    So a model of few layers tells how long one of many takes: that of one pair of layers (with long
    skips a layer and its mirror image) or one single layer more is known from the next larger one.
    """
    shape = job.preset
    unit = 2 if shape.long_skips else 1
    plain, single = (shape.layers - shape.single_layers) // unit, shape.single_layers
    if plain + single <= _FEW:
        return _pace(job, text, cost, network)
    least = 2 if plain > 1 else plain, min(single, 1)
    base = _pace(_cut(job, *least, unit), text, cost, network)
    step_s, all_s = base.step_s, base.all_s
    for number, kind in enumerate((plain, single)):
        if kind > least[number]:
            more = least[0] + (number == 0), least[1] + (number == 1)
            larger = _pace(_cut(job, *more, unit), text, cost, network)
            step_s += (kind - least[number]) * (larger.step_s - base.step_s)
            all_s += (kind - least[number]) * (larger.all_s - base.all_s)
    return Pace(base.steps, all_s, step_s)


def _pace(job: Job, text: str, cost: CostModel, network: Topology) -> Pace:
    ends = _ends(job, text, 2, cost, network)
    return Pace(2, ends[1], ends[1] - ends[0])


def _cut(job: Job, plain: int, single: int, unit: int) -> Job:
    """The same with fewer layers."""
    name = f"{job.model_name}:layers={plain * unit + single}"
    if job.preset.single_layers:
        name += f":single={single}"
    return Job(name, job.ranks, dtype=job.dtype)


def _ends(job: Job, text: str, steps: int, cost: CostModel, network: Topology) -> list[float]:
    return step_ends(job, named(text), steps, cost, network)


def step_ends(
    job: Job, schedule: Schedule, steps: int, cost: CostModel, network: Topology
) -> list[float]:
    """When each of so many steps ends at the last rank; raises InputError as `simulate`."""
    whole = replace(_model(job.model_name, job.dtype), images=job.images)
    whole.__dict__["model"] = _model(job.model_name, job.dtype).model
    whole = whole.variant(ranks=job.ranks, steps=steps)
    schedule.check(whole)
    programs = [schedule(whole, rank) for rank in range(job.ranks)]
    machine = MetaMachine(cost, whole.dtype)
    ends = [0.0] * steps
    with collector_paused():
        operations, _ = play(programs, steps, machine, network, Observer())
        for row in operations:
            if row.stream == "compute" and row.end_s > ends[row.step]:
                ends[row.step] = row.end_s
    return ends


@lru_cache(maxsize=16)
def _model(name: str, dtype: str) -> Job:
    return Job(name, dtype=dtype, device="meta").with_model()


@lru_cache(maxsize=64)
def _alone_s(name: str, device: Device) -> float:
    """A step on one GPU."""
    job = Job(name, dtype="bfloat16")
    return paced(job, "single", Roofline(device), NETWORKS["infinite"]).step_s


#: A collective is one thing to issue, an all-reduce here two.
_AT_ONCE = Fixed(
    "at once",
    {kind: algorithms(kind)["direct"] for kind in ALGORITHMS if "direct" in algorithms(kind)},
)


class _Issues:
    """A kernel takes 1 s, on the clock of a host that does nothing but issue them."""

    name = "kernels"
    transfer_share = 0.0

    def seconds(self, call: Call) -> float:
        """How many there are."""
        return float(len(call.kernels))


@lru_cache(maxsize=256)
def _issued(name: str, text: str, ranks: int) -> tuple[float, float]:
    """Kernels and transfers of a rank in a step, which do not depend on the number of tokens."""
    job = Job(name, ranks, dtype="bfloat16")
    tiny = 1e-6
    network = Links("issue", math.inf, message_s=tiny, collectives=_AT_ONCE)
    step_s = paced(job, text, _Issues(), network).step_s
    kernels = math.floor(step_s + 0.5 * tiny)
    return kernels, (step_s - kernels) / tiny
