"""Options that several subcommands share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.job import Job
from simnet.models.presets import preset as model_preset
from simnet.network.files import find, is_file
from simnet.network.network import Network
from simnet.network.presets import NETWORKS
from simnet.network.recorded import RecordedNetwork
from simnet.network.topology import Links, Topology
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import schedule as named_schedule
from simnet.schedules.named import with_codec, with_routing
from traces.errors import InputError, unknown
from traces.trace import Trace
from traces.units import parse_rate, parse_time

Json = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]
TracePath = Annotated[Path, Parameter(help="A trace: the folder that `thinwire run` made.")]
_MOST_IMAGES = 1_000_000
#: Name under which --network means the one that the trace was recorded on.
RECORDED = "recorded"


def use_threads(threads: int | None) -> None:
    """Of the processor, for torch; None: as many as it likes. Raises InputError below 1."""
    import torch

    if threads is None:
        return
    if threads < 1:
        raise InputError(f"--threads is {threads}, expected 1 or more")
    torch.set_num_threads(threads)


def comma_separated(text: str) -> tuple[str, ...]:
    """The names in "a,b" or "a, b"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def keep_apart(out: Path | None, source: Path) -> None:
    """Raises InputError where what is written would take the place of what it is made from."""
    if out is not None and out.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{out}: --out is, or lies in, what it is made from; name another folder")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Workload:
    """What to denoise, and how the ranks share it."""

    model: str = "dit-tiny"
    """A model preset; `thinwire list models`."""
    schedule: str = "ring"
    """A schedule, with parameters after colons: `distrifusion:warmup_steps=4`, `cfg+usp`."""
    codec: str | None = None
    """What to send activations with, such as `residual-1bit`; `thinwire list codecs`."""
    ranks: int = 4
    """Number of ranks."""
    steps: int | None = None
    """Denoising steps; by default as many as the model's publishers use."""
    dtype: str = "float32"
    """Of weights and activations: float32, bfloat16 or float16."""
    seed: int = 0
    """Of the weights and the noise."""
    batch: int = 1
    """Images denoised together; of expert-parallel schedules, by each rank."""

    def job(self, device: str = "meta") -> Job:
        """The job, with its tensors on this device."""
        if not 1 <= self.batch <= _MOST_IMAGES:
            raise InputError(f"--batch is {self.batch}, expected from 1 to {_MOST_IMAGES} images")
        steps = model_preset(self.model).steps if self.steps is None else self.steps
        return Job(self.model, self.ranks, steps, self.dtype, self.seed, device, images=self.batch)

    def chosen_schedule(self) -> TeamSchedule:
        """The schedule, with its parameters and codec; raises InputError for two codecs."""
        chosen = named_schedule(self.schedule)
        if self.codec is None:
            return chosen
        if "/" in self.schedule:
            raise InputError(f"--schedule {self.schedule} has a codec; leave --codec out")
        return with_codec(chosen, self.codec)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GpuWorkload(Workload):
    """The same, in the type that GPUs are used with."""

    dtype: str = "bfloat16"
    """Of weights and activations: float32, bfloat16 or float16."""
    routing: str | None = None
    """How tokens want experts: `even`, `zipf-0.8`, or a trace recorded with --keep chosen."""

    def chosen_schedule(self) -> TeamSchedule:
        """See Workload."""
        chosen = super().chosen_schedule()
        return chosen if self.routing is None else with_routing(chosen, self.routing)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class NetworkChoice:
    """A network by name, from a file, or every rank on a link of its own."""

    network: str | None = None
    """A network preset (`thinwire list networks`), or a network file: NAME.toml or a path."""
    rate: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Instead: rate of each link, each way, such as 1Gbit/s or 1.5GB/s."""
    latency: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """With --rate: latency of a link, such as 50us. Default: 0s."""
    collectives: str | None = None
    """Algorithms of collectives: `ring`, `gloo`, `nccl`, or by hand `nccl,all_reduce=tree`."""

    def links(self) -> Topology:
        """The network; raises InputError unless exactly one is described."""
        topology = self._topology()
        if self.collectives is None:
            return topology
        from simnet.network.collectives.named import selection

        return replace(topology, collectives=selection(self.collectives))

    def _topology(self) -> Topology:
        if self.network is not None:
            self._expect_no_links()
            return find(self.network)
        if self.rate is None:
            raise InputError(
                "which network? give --network NAME (`thinwire list networks`) or FILE.toml, or "
                "--rate 1Gbit/s --latency 50us"
            )
        latency = self.latency or "0s"
        name = f"{self.rate} {latency}"
        return Links(name, parse_rate(self.rate), parse_time(latency))

    def network_for(self, trace: Trace) -> Network:
        """The same for a replay of this trace, whose own network goes by the name "recorded"."""
        if self.network is None:
            return self.links()
        self._expect_no_links()
        if self.network == RECORDED:
            if self.collectives is not None:
                raise InputError("--network recorded has times, no algorithms; leave --collectives")
            return RecordedNetwork.from_trace(trace)
        if not is_file(self.network) and self.network not in NETWORKS:
            raise unknown("network", self.network, [*NETWORKS, RECORDED])
        return self.links()

    def _expect_no_links(self) -> None:
        if self.rate is not None or self.latency is not None:
            raise InputError("give --network, or --rate and --latency, but not both")
