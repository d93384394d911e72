"""What the lab runs: schedules of both families, with and without codecs, on each network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from simnet.lab.computing import PACED, REAL, Computing
from simnet.lab.networks import NETWORKS, LabNetwork
from simnet.lab.order import Workload

#: Of activations as they are.
RAW = "raw"

_Item = TypeVar("_Item")

_PATCHES = ("ring", "ulysses", "patch", "distrifusion", "pipefusion")
_EXPERTS = ("expert", "displaced-expert", "interweaved", "dice")
_CODECS = ("residual-1bit", "residual-2bit", "residual-lowrank:rank=8")


@dataclass(frozen=True, slots=True)
class Case:
    """One run, which is also predicted."""

    network: LabNetwork
    method: str  # a schedule by name, without codec
    codec: str = RAW
    compute: Computing = PACED

    @property
    def schedule(self) -> str:
        """The schedule by name, with the codec."""
        return self.method if self.codec == RAW else f"{self.method}/{self.codec}"

    @property
    def has_experts(self) -> bool:
        """Whether what is sent depends on what a gate chooses."""
        return self.method in _EXPERTS

    @property
    def workload(self) -> Workload:
        """What runs: messages of 10 to 500 kB, and a second or more."""
        model = "dit-moe-tiny" if self.has_experts else "dit-tiny"
        return Workload(self.schedule, model, self.network.ranks, self.compute.steps)

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.network.name} {self.schedule} {self.compute.name}"


def full() -> list[Case]:
    """Every network, with some of the methods in turn, so that all meet all kinds of network."""
    cases: list[Case] = []
    for number, network in enumerate(NETWORKS):
        cases += [Case(network, method) for method in _turn(_PATCHES, number, 3)]
        (method,), (codec,) = _turn(_PATCHES, number, 1), _turn(_CODECS, number, 1)
        cases.append(Case(network, method, codec))
        # One that waits for its experts more, and one that does less.
        cases += [Case(network, method) for method in _EXPERTS[number % 2 :: 2]]
        if network.name in _REAL:
            cases += [Case(network, method, compute=REAL) for method in _REAL[network.name]]
    return cases


def quick() -> list[Case]:
    """A few of them, on three networks."""
    by_name = {network.name: network for network in NETWORKS}
    return list(_quick(by_name["flat-2x50M"], by_name["flat-4x100M"], by_name["two-hosts-200M"]))


def _quick(pair: LabNetwork, four: LabNetwork, hosts: LabNetwork) -> Iterator[Case]:
    for network, methods, coded in (
        (pair, ("ring", "distrifusion", "expert"), ("ring", "residual-1bit")),
        (four, ("ring", "patch", "pipefusion", "interweaved"), ("patch", "residual-2bit")),
        (hosts, ("ulysses", "dice"), ("ring", "residual-lowrank:rank=8")),
    ):
        yield from (Case(network, method) for method in methods)
        yield Case(network, *coded)
    yield Case(hosts, "patch", compute=REAL)


_REAL = dict.fromkeys(
    (f"flat-{ranks}x{mbit}M" for ranks in (2, 4) for mbit in (20, 100, 500)), ("ring", "patch")
)


def _turn(items: Sequence[_Item], first: int, count: int) -> list[_Item]:
    """So many of them from one on, and from the beginning again."""
    return [items[(first + number) % len(items)] for number in range(count)]
