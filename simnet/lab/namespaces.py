"""Hosts made of network namespaces, each behind a link of limited rate to one switch."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from types import TracebackType
from typing import Self

from simnet.lab.bucket import Bucket
from traces.errors import InputError, RunError

#: Of every namespace that a lab makes; the number after it is the process that made it.
PREFIX = "thinwire-"
_NAME = re.compile(rf"{PREFIX}(\d+)-\d+-\w+")
_SUBNET = "10.77.0"
_MOST_HOSTS = 250
_DEVICE = "eth0"  # inside a namespace of its own, so it is in nobody's way
_PORT = 29500  # free, for the same reason
_numbers = count()


@dataclass(frozen=True, slots=True)
class Host:
    """A host of so many ranks, whose link carries `rate_bps` each way.

    Raises InputError for less than a rank, and for a rate that Bucket does not take.
    """

    rate_bps: float
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.ranks < 1:
            raise InputError(f"lab: a host has {self.ranks} ranks, expected 1 or more")
        self.bucket()

    def bucket(self) -> Bucket:
        """What limits its link, each way."""
        return Bucket(self.rate_bps)


class Lab:
    """Network namespaces joined to one switch while the `with` block lasts, then gone.

    Both ends of each host's link have a token bucket of its rate, one for each direction. Ranks
    are numbered host by host. Raises InputError where this machine cannot have a lab, RunError
    where the system refuses a step in making it; what was made until then is removed.
    """

    def __init__(self, hosts: Sequence[Host]) -> None:
        if not 1 <= len(hosts) <= _MOST_HOSTS:
            raise InputError(f"lab: {len(hosts)} hosts, expected 1 to {_MOST_HOSTS}")
        self.hosts = tuple(hosts)
        self.places = [(h, i) for h, host in enumerate(self.hosts) for i in range(host.ranks)]
        self._stem = f"{PREFIX}{os.getpid()}-{next(_numbers)}-"

    @property
    def ranks(self) -> int:
        """How many processes there can be."""
        return len(self.places)

    def address(self, rank: int) -> str:
        """Of the rank's host on the lab's network."""
        return _address(self.places[rank][0])

    def command(self, rank: int, words: Sequence[str]) -> list[str]:
        """The command that runs this one on the rank's host."""
        here = ["ip", "netns", "exec", self._namespace(self.places[rank][0])]
        return [*_before_others(), *here, *words]

    def variables(self, rank: int) -> dict[str, str]:
        """The environment in which torch.distributed finds the other ranks, as from torchrun."""
        host, place = self.places[rank]
        return {
            "RANK": str(rank),
            "WORLD_SIZE": str(self.ranks),
            "LOCAL_RANK": str(place),
            "LOCAL_WORLD_SIZE": str(self.hosts[host].ranks),
            "MASTER_ADDR": _address(0),
            "MASTER_PORT": str(_PORT),
            "GLOO_SOCKET_IFNAME": _DEVICE,
            "NCCL_SOCKET_IFNAME": _DEVICE,
        }

    def __enter__(self) -> Self:
        if (reason := why_not()) is not None:
            raise InputError(f"lab: {reason}")
        clean_up()
        try:
            self._make_switch()
            for number, host in enumerate(self.hosts):
                self._make_host(number, host.bucket())
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Take away all namespaces, links and whatever still runs in them; twice does no harm."""
        _remove([name for name in _namespaces() if name.startswith(self._stem)])

    def _namespace(self, host: int) -> str:
        return f"{self._stem}{host}"

    @property
    def _switch(self) -> str:
        return f"{self._stem}switch"

    def _make_switch(self) -> None:
        _do("ip", "netns", "add", self._switch)
        _do(*_ip(self._switch), "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        _do(*_ip(self._switch), "link", "set", "switch", "addrgenmode", "none", "up")

    def _make_host(self, number: int, bucket: Bucket) -> None:
        """A namespace, a link from it to the switch, and the buckets at both ends of that."""
        name, port = self._namespace(number), f"port{number}"
        here, there = _ip(name), _ip(self._switch)
        _do("ip", "netns", "add", name)
        link = ["link", "add", _DEVICE, "netns", name, "type", "veth"]
        _do("ip", *link, "peer", "name", port, "netns", self._switch)
        # No address of its own making: nothing may be on the link that nobody sent.
        _do(*here, "link", "set", _DEVICE, "addrgenmode", "none")
        _do(*there, "link", "set", port, "addrgenmode", "none", "master", "switch", "up")
        _do("tc", "-n", name, "qdisc", "add", "dev", _DEVICE, "root", *bucket.words())
        _do("tc", "-n", self._switch, "qdisc", "add", "dev", port, "root", *bucket.words())
        _do(*here, "link", "set", "lo", "up")
        address = _address(number)
        _do(*here, "address", "add", f"{address}/24", "dev", _DEVICE)
        _do(*here, "link", "set", _DEVICE, "up")
        # bbr, many systems' default, is slow to find the rate; a namespace can't change it, but a
        # route can.
        route = ["route", "replace", f"{_SUBNET}.0/24", "dev", _DEVICE, "src", address]
        _do(*here, *route, "congctl", "cubic")


@cache
def _before_others() -> list[str]:
    """Begins commands of ranks: real-time priority, where the system grants it.

    Else this machine's other programs would make a rank that is about to answer look like a slow
    network: at a load of 10, ranks that meet go on within 0.3 ms of each other and not 1 to 5.
    """
    words = ["chrt", "--fifo", "1"]
    try:
        _do(*words, "true")
    except (RunError, OSError):
        return []
    return words


def why_not() -> str | None:
    """What keeps this machine from having a lab, and what to do; None where nothing does."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root; run as root, or measure a network that is there"
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"the command {tool!r} is not found; install iproute2"
    probe = f"{PREFIX}{os.getpid()}-{next(_numbers)}-probe"
    try:
        _do("ip", "netns", "add", probe)
        _do("tc", "-n", probe, "qdisc", "add", "dev", "lo", "root", *Bucket(1e8).words())
    except RunError as error:
        return f"this system refuses what it needs, though the user is root ({error})"
    finally:
        _remove([probe])
    return None


def clean_up() -> list[str]:
    """Remove what labs left whose process was killed; gives the namespaces' names."""
    left = []
    for name in _namespaces():
        match = _NAME.fullmatch(name)
        if match and not _alive(int(match[1])):
            left.append(name)
    _remove(left)
    return left


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _namespaces() -> list[str]:
    # A line is a name, and sometimes "(id: 3)" after it.
    return [line.split()[0] for line in _do("ip", "netns", "list").splitlines() if line.strip()]


def _remove(names: Sequence[str]) -> None:
    """What is in a namespace goes with it, once nothing runs there."""
    there = set(_namespaces())
    for name in names:
        if name not in there:
            continue
        for process in _do("ip", "netns", "pids", name).split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        _do("ip", "netns", "delete", name)


def _address(host: int) -> str:
    return f"{_SUBNET}.{host + 1}"


def _ip(namespace: str) -> list[str]:
    return ["ip", "-n", namespace]


def _do(*words: str) -> str:
    """Run a command; in a session of its own, for a second Ctrl-C must not stop a removal."""
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode:
        said = done.stderr.strip() or f"it ended with exit code {done.returncode}"
        raise RunError(f"lab: `{' '.join(words)}`: {said}")
    return done.stdout
