"""The networks that predictions are checked on: equal hosts, shared links, a slow one, traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from simnet.lab.namespaces import Host, Lab
from simnet.lab.traffic import Datagrams, sending
from simnet.network.conditions.conditions import Background, Conditions

_MBIT = 1e6
_SLOW = 0.4  # of the others' rate, where one host is slow
_BUSY = 0.3  # of a link's rate, where there is traffic on it


@dataclass(frozen=True)
class LabNetwork:
    """Hosts behind links of known rate, and traffic that is on them while a schedule runs.

    `with network.lab() as site:` makes it (a Site for Team), quiet, so that it can be calibrated;
    `with network.busy(site):` runs its traffic, which `conditions()` are for a prediction.
    """

    name: str
    hosts: tuple[Host, ...]
    traffic: tuple[Datagrams, ...] = ()

    @property
    def ranks(self) -> int:
        """How many processes there can be."""
        return len(self.places)

    @property
    def places(self) -> tuple[int, ...]:
        """The host of each rank."""
        return tuple(number for number, host in enumerate(self.hosts) for _ in range(host.ranks))

    def lab(self) -> Lab:
        """The hosts, to be entered."""
        return Lab(self.hosts)

    @contextmanager
    def busy(self, site: Lab) -> Iterator[None]:
        """Traffic on the links while the block lasts."""
        with ExitStack() as all_of_it:
            for each in self.traffic:
                all_of_it.enter_context(sending(site, each))
            yield

    def conditions(self) -> Conditions:
        """What the traffic takes from the links, in the simulator's words."""
        return Conditions(
            background=tuple(
                Background(each.payload_bps, ranks=(each.src, each.dst), paced=True)
                for each in self.traffic
            )
        )


def flat(ranks: int, mbit: float) -> LabNetwork:
    """Every rank on a host of its own, all links alike."""
    return LabNetwork(f"flat-{ranks}x{mbit:g}M", (Host(mbit * _MBIT),) * ranks)


def two_hosts(mbit: float) -> LabNetwork:
    """Two hosts of two ranks, which share their host's link."""
    return LabNetwork(f"two-hosts-{mbit:g}M", (Host(mbit * _MBIT, ranks=2),) * 2)


def slow_host(ranks: int, mbit: float) -> LabNetwork:
    """The last host's link has less than half of the others' rate."""
    hosts = [Host(mbit * _MBIT)] * (ranks - 1) + [Host(_SLOW * mbit * _MBIT)]
    return LabNetwork(f"slow-host-{ranks}x{mbit:g}M", tuple(hosts))


def busy_link(ranks: int, mbit: float) -> LabNetwork:
    """Traffic from the first host to the second takes a part of their links."""
    bps = mbit * _MBIT
    traffic = (Datagrams(0, 1, _BUSY * bps),)
    return LabNetwork(f"busy-link-{ranks}x{mbit:g}M", (Host(bps),) * ranks, traffic)


#: Those of the full suite.
NETWORKS: Sequence[LabNetwork] = (
    *(flat(ranks, mbit) for ranks in (2, 4) for mbit in (20, 50, 100, 200, 500)),
    *(two_hosts(mbit) for mbit in (20, 50, 100, 200, 500)),
    *(slow_host(4, mbit) for mbit in (50, 100, 200)),
    *(busy_link(4, mbit) for mbit in (50, 100, 200)),
)
