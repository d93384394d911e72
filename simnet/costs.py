"""How long a call takes on a device: as it was measured, or as a roofline has it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from simnet import profiles
from simnet.profiles import Cost, Profile
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from simnet.counting import Kernel
    from simnet.devices import Device
    from simnet.models.shape import Preset
    from traces.trace import Trace


_REMEDY = (
    "measure with the same model, dtype, schedule and number of ranks, or use a device's roofline"
)


class Call(NamedTuple):
    """A call to be costed: what runs, on arguments of what shape, in which kernels."""

    name: str
    shape: str
    kernels: tuple[Kernel, ...]
    dtype: str  # of the model, "bfloat16"
    kind: str = ""  # of the block whose method it is; blocks of one kind cost the same

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
    """The median of what each call took, by its name, shape and kind of block.

    Medians leave out the slow first calls of a warm-up. What transfers took from computes of a run
    is in them. `remedy` ends the message of what is missing.
    """

    transfer_share = 0.0

    def __init__(self, name: str, costs: Iterable[Cost], remedy: str = _REMEDY) -> None:
        self.name = name
        self.remedy = remedy
        self.made: Mapping[str, str] = {}  # what a profile was made by
        self._costs = {cost.key: cost for cost in costs}

    @classmethod
    def from_trace(cls, trace: Trace) -> MeasuredCosts:
        """From a trace's compute rows: the mean over layers of the median in each.

        So what layers of several kinds take together comes out right, though a trace does not say
        which they are. Raises InputError for a trace without any, TraceError for one with
        impossible times.
        """
        calls = _compute_rows(trace).groupby(["name", "shape"], observed=True)
        costs = [_cost(str(name), str(shape), rows) for (name, shape), rows in calls]
        return cls(trace.run.device, costs)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> MeasuredCosts:
        """From a profile, a file or the name of one that is recorded, or from a trace's folder.

        Raises InputError naming the file and what is wrong with it.
        """
        where = profiles.find(Path(path))
        if where.is_dir():
            from traces.trace import Trace

            return cls.from_trace(Trace.open(where))
        profile = profiles.read(where)
        costs = cls(profile.device, profile.costs)
        costs.made = profile.made
        return costs

    def save(self, path: str | PathLike[str]) -> None:
        """Write a profile, which `open` reads; it replaces what is there."""
        profiles.write(Path(path), Profile(self.name, tuple(self._costs.values())))

    def seconds(self, call: Call) -> float:
        """The median; raises InputError for a call that was not recorded."""
        for kind in (call.kind, ""):
            cost = self._costs.get((call.name, call.shape, kind))
            if cost is not None:
                return cost.median_s
        raise InputError(self._missing(call))

    def table(self) -> pd.DataFrame:
        """A row for each call: name, shape, median_s, spread_s, minimum_s, count, kind."""
        import pandas as pd

        return pd.DataFrame([asdict(cost) for cost in self._costs.values()])

    def _missing(self, call: Call) -> str:
        shapes = [shape for name, shape, _ in self._costs if name == call.name]
        near = difflib.get_close_matches(call.shape, shapes, n=1, cutoff=0.0)
        has = (
            f"of {call.name!r} they have {len(shapes)} other shapes, the nearest {near[0]}"
            if near
            else f"they have {', '.join(sorted({name for name, _, _ in self._costs}))}"
        )
        return f"the costs measured on {self.name!r} lack {call}: {has}; {self.remedy}"


def _cost(name: str, shape: str, rows: pd.DataFrame) -> Cost:
    cost_s = rows["cost_s"]
    median_s = float(cost_s.groupby(rows["layer"]).median().mean())
    spread_s = float(cost_s.quantile(0.75) - cost_s.quantile(0.25))
    least_s = min(float(cost_s.min()), median_s)  # means round
    return Cost(name, shape, median_s, spread_s, least_s, len(cost_s))


def _compute_rows(trace: Trace) -> pd.DataFrame:
    """Name, shape, layer and cost_s of what was computed."""
    import pandas as pd

    columns = ["kind", "name", "shape", "layer", "cost_s"]
    batches = [batch[batch["kind"] == "compute"] for batch in trace.scan(columns)]
    rows = pd.concat(batches, ignore_index=True)
    if rows.empty:
        raise InputError(
            f"the trace of {trace.run.model!r} on {trace.run.device!r} has no compute times to "
            "learn costs from; record a run with the local or the distributed driver"
        )
    return rows
