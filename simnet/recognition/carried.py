"""Compute times of a recorded program, carried over to schedules that it was not recorded with.

The assumption: on the recorded device each kernel takes as long as a roofline says, times one
factor for all attention kernels and another for all others; both are such that the schedule that
was recorded comes out as it was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from simnet.costs import Call, Roofline
from simnet.devices import DEVICES, Device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.models.presets import preset
from simnet.network.presets import NETWORKS
from simnet.recognition.recognise import recognise
from simnet.schedules.named import schedule as named_schedule
from traces.errors import InputError
from traces.foreign import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from simnet.counting import Kernel
    from simnet.models.shape import Preset
    from traces.trace import Trace

_ATTENTION_KERNEL = re.compile("scaled_dot_product|flash|fmha|sdpa|^attend", re.IGNORECASE)
_ATTENTION_MODULE = re.compile("attn|attention", re.IGNORECASE)
_MOST_STEPS = 4  # of the recorded schedule, to be counted
_PROJECTIONS = 4  # of queries, keys, values and outputs, each as wide as a token


class Part(NamedTuple):
    """What one rank's recorded compute came to in a step, on average; in seconds."""

    attention_s: float  # of rows that are attention
    rest_s: float
    projects: bool  # whether those rows have the projections in them

    @property
    def total_s(self) -> float:
        """Of both."""
        return self.attention_s + self.rest_s


@dataclass(frozen=True)
class CarriedOver:
    """A cost model: a roofline's times, times a factor for attention kernels and one for others."""

    device: Device
    recorded: str  # the device that the factors were fitted to
    attention: float
    rest: float
    host_s: float  # what the busiest rank's host took in a step, of which nothing is known
    transfer_share: float = 0.0

    @property
    def name(self) -> str:
        """What the times are of, and how they were made."""
        return (
            f"{self.recorded} (carried over: roofline of {self.device.name}, attention x "
            f"{self.attention:.3g}, rest x {self.rest:.3g})"
        )

    def seconds(self, call: Call) -> float:
        """The sum over its kernels."""
        attention = sum(_kernels_s(self.device, call, is_attention))
        return self.attention * attention + self.rest * sum(_kernels_s(self.device, call, is_rest))


def of_another_program(trace: Trace) -> bool:
    """Whether it is of no schedule of ours, so that its calls are not ours either."""
    if trace.run.driver in {*OURS, "replayed"}:
        try:
            named_schedule(trace.run.schedule)
        except InputError:
            return True
        return False
    return True


def carry_over(trace: Trace, model: str) -> CarriedOver:
    """Fit the factors to a recording of this model.

    Where the recording does not tell attention from the rest, or what it says of them cannot be,
    both get the same factor. Raises InputError where its schedule is not recognised, where it
    looks like another model's, and where it has no compute.
    """
    recognised = recognise(trace)
    if recognised.model is None:
        recognised = recognise(trace, model)
    if recognised.schedule is None:
        raise InputError(
            f"compute times can only be carried over from a schedule that is known:\n{recognised}"
        )
    if recognised.model == preset(model).name and not recognised.fits:
        raise InputError(f"the recording does not fit {model}; name its model:\n{recognised}")
    if recognised.model != preset(model).name:
        raise InputError(
            f"the recording looks like one of {recognised.model}, not {model}: give "
            f"--model {recognised.model}\n{recognised}"
        )
    run = trace.run
    steps = min(run.steps, _MOST_STEPS)
    images = run.images
    job = Job(model, run.ranks, steps, recognised.dtype, images=images, device="meta")
    device = _like(run.device)
    measured = recorded_part(trace)
    if not measured.total_s:
        raise InputError(f"the trace of {run.model!r} on {run.device!r} has no compute times")
    attention, rest = _factors(measured, _Rows.of(recognised.schedule, job, device), job.preset)
    return CarriedOver(device, run.device, attention, rest, _host_s(trace))


class _Rows(NamedTuple):
    """Roofline seconds of one rank in a step, as for `Part`."""

    attention_s: float  # attention kernels
    beside_s: float  # other kernels in the same calls
    rest_s: float  # kernels of other calls

    @classmethod
    def of(cls, schedule: str, job: Job, device: Device) -> _Rows:
        """Of a schedule."""
        chosen = named_schedule(schedule)
        chosen.check(job)

        def counted(wanted: Callable[[Call, Kernel], bool]) -> float:
            cost = _Some(device, wanted)
            ops = simulate(chosen, job, cost, NETWORKS["infinite"]).ops
            return _per_step_s(ops[ops["kind"] == "compute"], job.ranks)

        return cls(
            counted(is_attention),
            counted(lambda call, kernel: _attends(call) and is_rest(call, kernel)),
            counted(lambda call, kernel: not _attends(call) and is_rest(call, kernel)),
        )


@dataclass(frozen=True)
class _Some:
    """A roofline of some kernels only."""

    device: Device
    wanted: Callable[[Call, Kernel], bool]
    name: str = "some"
    transfer_share: float = 0.0

    def seconds(self, call: Call) -> float:
        return sum(_kernels_s(self.device, call, self.wanted))


def _factors(measured: Part, base: _Rows, shape: Preset) -> tuple[float, float]:
    """For attention kernels and others: two equations where rows are told apart, else one."""
    alike = measured.total_s / sum(base)
    if not measured.attention_s or not base.attention_s:
        return alike, alike
    inside_s = base.beside_s
    if measured.projects:
        inside_s += projection_share(shape) * base.rest_s
    outside_s = base.beside_s + base.rest_s - inside_s
    if not measured.rest_s or not outside_s:
        return alike, alike
    rest = measured.rest_s / outside_s
    attention = (measured.attention_s - rest * inside_s) / base.attention_s
    return (attention, rest) if attention > 0 else (alike, alike)


def projection_share(shape: Preset) -> float:
    """Of a block's matrix products but attention's own, the share of its projections."""
    inner = shape.mlp or 4 * shape.hidden
    mlp = (3 if shape.gated else 2) * shape.hidden * inner
    projections = _PROJECTIONS * shape.hidden**2
    return projections / (projections + mlp)


def recorded_part(trace: Trace) -> Part:
    """What one rank computes in a step of a recording, on average over the ranks."""
    ops = trace.ops
    rows = ops[(ops["kind"] == "compute") & (ops["step"] >= 0)]
    kernels = rows["name"].str.contains(_ATTENTION_KERNEL)
    modules = rows["name"].str.contains(_ATTENTION_MODULE) & ~kernels
    projects = bool(rows.loc[modules, "cost_s"].sum() > rows.loc[kernels, "cost_s"].sum())
    attention = modules | kernels if projects else kernels
    ranks = trace.run.ranks
    return Part(_per_step_s(rows[attention], ranks), _per_step_s(rows[~attention], ranks), projects)


def _host_s(trace: Trace) -> float:
    """What the busiest rank's host takes in a step beside computing and waiting, on average."""
    spent_s = trace.ops.groupby("rank")["host_s"].sum()
    return float(spent_s.max()) / trace.run.steps


def _per_step_s(rows: pd.DataFrame, ranks: int) -> float:
    """Seconds of one rank in a step; of the steps the median, for the first ones are slow."""
    by_step = rows.groupby("step")["cost_s"].sum()
    return float(by_step.median()) / ranks if len(by_step) else 0.0


def is_attention(call: Call, kernel: Kernel) -> bool:
    """Whether a kernel is the attention itself."""
    del call
    return bool(_ATTENTION_KERNEL.search(kernel.name))


def is_rest(call: Call, kernel: Kernel) -> bool:
    """Whether it is anything else."""
    return not is_attention(call, kernel)


def _attends(call: Call) -> bool:
    return call.name.startswith("attend")


def _kernels_s(
    device: Device, call: Call, wanted: Callable[[Call, Kernel], bool]
) -> Sequence[float]:
    kernels = [kernel for kernel in call.kernels if wanted(call, kernel)]
    return [Roofline(device).seconds(call._replace(kernels=(kernel,))) for kernel in kernels]


def _like(text: str) -> Device:
    """The device in the table that is named in what a trace says of its own, or one of its kind."""
    plain = text.lower().replace(" ", "-").replace("_", "-")
    named = [device for name, device in DEVICES.items() if name.split("-")[0] in plain.split("-")]
    if named:
        return named[0]
    is_gpu = any(word in plain for word in ("cuda", "nvidia", "gpu"))
    return DEVICES["a100-sxm" if is_gpu else "cpu-core"]
