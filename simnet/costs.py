"""How long a call takes on a device: as it was measured, or as a roofline has it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from simnet import profiles
from simnet.profiles import Cost
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from simnet.counting import Kernel
    from simnet.devices import Device
    from simnet.models.shape import Preset
    from traces.trace import Trace


class Call(NamedTuple):
    """A call to be costed: what runs, on arguments of what shape, in which kernels."""

    name: str
    shape: str
    kernels: tuple[Kernel, ...]
    dtype: str  # of the model, "bfloat16"

    def __str__(self) -> str:
        return f"{self.name}({self.shape})"


class CostModel(Protocol):
    """Anything that can say how long a call takes."""

    @property
    def name(self) -> str:
        """What the times are of; it becomes a trace's device."""
        ...

    @property
    def transfer_share(self) -> float:
        """Of the processor, that a transfer under way takes from computes; 0 or more, below 1."""
        ...

    def seconds(self, call: Call) -> float:
        """How long the call takes by itself."""
        ...


@dataclass(frozen=True, slots=True)
class Free:
    """Everything takes no time at all, as in a dry run."""

    name: str = "free"
    transfer_share: float = 0.0

    def seconds(self, call: Call) -> float:
        """Nothing."""
        del call
        return 0.0


@dataclass(frozen=True, slots=True)
class Scaled:
    """Another model's times, all of them so many times as long."""

    cost: CostModel
    factor: float

    @property
    def name(self) -> str:
        """The other's, and the factor."""
        return f"{self.cost.name} x {self.factor:.3f}"

    @property
    def transfer_share(self) -> float:
        """The other's."""
        return self.cost.transfer_share

    def seconds(self, call: Call) -> float:
        """The other's time, scaled."""
        return self.factor * self.cost.seconds(call)


@dataclass(frozen=True, slots=True)
class Roofline:
    """Each kernel is bound by arithmetic or by memory, whichever takes longer.

    Williams, Waterman & Patterson 2009, "Roofline: An Insightful Visual Performance Model"; with
    the time to launch a kernel added. For FLUX.1-dev it comes within 5 % of the best published
    times on L40 and L20, and is 15 % to 30 % too fast on A100 and H100, whose published eager
    runs take 1.5 and 2 times as long: measure where it matters.
    """

    device: Device

    @property
    def name(self) -> str:
        """The device's, and that it is a model of it."""
        return f"{self.device.name} (roofline)"

    @property
    def transfer_share(self) -> float:
        """The device's."""
        return self.device.transfer_share

    def outside_s(self, preset: Preset) -> float:
        """What it takes to encode the text and decode the latent.

        The decoder's convolutions, with few channels at many pixels, reach about a quarter of the
        rate of large products; an estimate from what SDXL's decoder takes on RTX 3090 and 4090.
        """
        return preset.outside_flop / (0.25 * self.device.flops)

    def seconds(self, call: Call) -> float:
        """The sum over the call's kernels, which run one after the other."""
        device = self.device
        flops = device.flops_fp32 if call.dtype == "float32" else device.flops
        return sum(
            max(kernel.flop / flops, kernel.bytes / device.memory_bytes_per_s) + device.launch_s
            for kernel in call.kernels
        )


class MeasuredCosts:
    """The median of what each call took in a recorded run, by its name and shape.

    Medians leave out the slow first calls of a warm-up. What transfers took from computes is in
    them.
    """

    transfer_share = 0.0

    def __init__(self, name: str, costs: Iterable[Cost]) -> None:
        self.name = name
        self._costs = {(cost.name, cost.shape): cost for cost in costs}

    @classmethod
    def from_trace(cls, trace: Trace) -> MeasuredCosts:
        """From a trace's compute rows.

        Raises InputError for a trace without any, TraceError for one with impossible times.
        """
        calls = _compute_rows(trace).groupby(["name", "shape"], observed=True)["cost_s"]
        costs = [_cost(str(name), str(shape), cost_s) for (name, shape), cost_s in calls]
        return cls(trace.run.device, costs)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> MeasuredCosts:
        """From a profile, a file that `save` wrote, or from a trace's folder.

        Raises InputError naming the file and what is wrong with it.
        """
        where = Path(path)
        if where.is_dir():
            from traces.trace import Trace

            return cls.from_trace(Trace.open(where))
        return cls(*profiles.read(where))

    def save(self, path: str | PathLike[str]) -> None:
        """Write a profile, which `open` reads; it replaces what is there."""
        profiles.write(Path(path), self.name, list(self._costs.values()))

    def seconds(self, call: Call) -> float:
        """The median; raises InputError for a call that was not recorded."""
        cost = self._costs.get((call.name, call.shape))
        if cost is None:
            raise InputError(self._missing(call))
        return cost.median_s

    def table(self) -> pd.DataFrame:
        """A row for each call: name, shape, median_s, spread_s, minimum_s, count."""
        import pandas as pd

        return pd.DataFrame([asdict(cost) for cost in self._costs.values()])

    def _missing(self, call: Call) -> str:
        shapes = [shape for name, shape in self._costs if name == call.name]
        near = difflib.get_close_matches(call.shape, shapes, n=1, cutoff=0.0)
        has = (
            f"of {call.name!r} they have {len(shapes)} other shapes, the nearest {near[0]}"
            if near
            else f"they have {', '.join(sorted({name for name, _ in self._costs}))}"
        )
        return (
            f"the costs measured on {self.name!r} lack {call}: {has}; measure with the same "
            "model, dtype, schedule and number of ranks, or use a device's roofline"
        )


def _cost(name: str, shape: str, cost_s: pd.Series[float]) -> Cost:
    quartiles = [float(cost_s.quantile(share)) for share in (0.25, 0.5, 0.75)]
    lower_s, median_s, upper_s = quartiles
    return Cost(name, shape, median_s, upper_s - lower_s, float(cost_s.min()), len(cost_s))


def _compute_rows(trace: Trace) -> pd.DataFrame:
    """Name, shape and cost_s of what was computed."""
    import pandas as pd

    columns = ["kind", "name", "shape", "cost_s"]
    batches = [batch[batch["kind"] == "compute"] for batch in trace.scan(columns)]
    rows = pd.concat(batches, ignore_index=True)
    if rows.empty:
        raise InputError(
            f"the trace of {trace.run.model!r} on {trace.run.device!r} has no compute times to "
            "learn costs from; record a run with the local or the distributed driver"
        )
    return rows
