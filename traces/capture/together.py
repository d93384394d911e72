"""What the ranks of a program tell each other for a recording: its header, and their clocks."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, Protocol

from traces.clocks import Ping, RankClock, Reading, ahead_s, quickest
from traces.errors import InputError, RunError, ThinwireError
from traces.reading import HEADER
from traces.run import Run
from traces.store import create

#: For ranks that load their weights at different speeds.
BEGIN_TIMEOUT = timedelta(minutes=10)
#: By the end, all that are alive are done at about the same time.
END_TIMEOUT = timedelta(seconds=10)
_ROUNDS = 32  # the quickest of so many is close to the network's own latency
_CAPTURES = count()  # all ranks begin them in the same order


class Store(Protocol):
    """What torch.distributed's stores can do."""

    def set(self, key: str, value: str, /) -> None:
        """Let the others read it."""

    def get(self, key: str, /) -> bytes:
        """Read what one of them set."""

    def wait(self, keys: list[str], timeout: timedelta, /) -> None:
        """Until all are set; raises after the timeout."""


@dataclass
class Team:
    """This rank among the others. Nothing here touches their process groups.

    A store (that of torch.distributed, which every backend has) carries small texts between ranks.
    `store` is None for a rank that is alone.
    """

    rank: int
    ranks: int
    store: Store | None = None
    host: str = ""
    now: Callable[[], float] = perf_counter

    def __post_init__(self) -> None:
        self.host = self.host or this_host()
        self.zero_s = 0.0  # when the run began, on this host's clock
        self._prefix = f"thinwire/{next(_CAPTURES)}"
        self._hosts = [self.host]
        self._ahead_s = 0.0  # rank 0's clock, when the run began

    def begin(self, path: Path, run: Run, *, overwrite: bool) -> RankClock:
        """Make the trace's folder on each host, and begin the run's time; all ranks together.

        All take rank 0's header. Raises InputError on all ranks where one cannot write, and
        RunError where others do not come.
        """
        try:
            self._hosts = self._all("host", self.host)
            self._create(path, run, overwrite=overwrite)
            found = self._measure("begin", BEGIN_TIMEOUT)
            began_s = float(self._from_first("zero", repr(self.now())))
        except ThinwireError:
            raise
        except Exception as error:  # stores raise what they like
            raise RunError(
                f"rank {self.rank}: the other ranks did not begin a recording within "
                f"{BEGIN_TIMEOUT}; all of them have to, together: {error}"
            ) from error
        self._ahead_s = found.ahead_s
        self.zero_s = began_s - found.ahead_s
        return RankClock(self.host, Reading(self._at_s(), 0.0, found.error_s))

    def end(self, clock: RankClock) -> RankClock:
        """With a second reading, which tells how clocks drifted; without, where ranks are gone."""
        try:
            found = self._measure("end", END_TIMEOUT)
        except Exception:  # as above; but now it is no failure  # noqa: BLE001
            return clock
        gained_s = found.ahead_s - self._ahead_s
        return RankClock(clock.host, clock.began, Reading(self._at_s(), gained_s, found.error_s))

    def _at_s(self) -> float:
        return self.now() - self.zero_s

    def _create(self, path: Path, run: Run, *, overwrite: bool) -> None:
        header = path / HEADER
        refused = ""
        told = ""
        if self.rank == 0:
            refused = _create(path, run, overwrite=overwrite)
            told = json.dumps([run.to_json(), _fingerprint(header), refused])
        fields, fingerprint, refused = json.loads(self._from_first("run", told))
        leads = self.rank == self._hosts.index(self.host)  # the first on its host
        here = ""
        if not refused and leads and _fingerprint(header) != fingerprint:
            here = _create(path, Run.from_json(fields, "rank 0"), overwrite=overwrite)
        for rank, error in enumerate(self._all("refused", here if self.rank else refused)):
            if error:
                raise InputError(f"rank {rank}: {error}")

    def _measure(self, what: str, timeout: timedelta) -> _Difference:
        """Rank 0's clock beside this one's. The first rank on each other host asks, in order."""
        first, *others = [self._hosts.index(host) for host in dict.fromkeys(self._hosts)]
        if self.rank == first:
            for asks in others:
                for turn in range(_ROUNDS):
                    self._get(f"{what}/{asks}/{turn}/ask", timeout)
                    self._set(f"{what}/{asks}/{turn}/answer", repr(self.now()))
        leader = self._hosts.index(self.host)
        if leader == first:
            return _Difference(0.0, 0.0)
        if leader == self.rank:
            pings = [self._ping(f"{what}/{leader}/{turn}", timeout) for turn in range(_ROUNDS)]
            best = quickest(pings)
            error_s = (best.received_s - best.sent_s) / 2
            self._set(f"{what}/{leader}/found", json.dumps([ahead_s([best]), error_s]))
        return _Difference(*json.loads(self._get(f"{what}/{leader}/found", timeout)))

    def _ping(self, key: str, timeout: timedelta) -> Ping:
        sent_s = self.now()
        self._set(f"{key}/ask", "")
        answered_s = float(self._get(f"{key}/answer", timeout))
        return Ping(sent_s, answered_s, self.now())

    def _all(self, key: str, text: str) -> list[str]:
        """What each rank says, in their order."""
        self._set(f"{key}/{self.rank}", text)
        if self.store is None:
            return [text]
        return [self._get(f"{key}/{rank}", BEGIN_TIMEOUT) for rank in range(self.ranks)]

    def _from_first(self, key: str, text: str) -> str:
        """What rank 0 says."""
        if self.rank == 0:
            self._set(key, text)
            return text
        return self._get(key, BEGIN_TIMEOUT)

    def _set(self, key: str, text: str) -> None:
        if self.store is not None:
            self.store.set(f"{self._prefix}/{key}", text)

    def _get(self, key: str, timeout: timedelta) -> str:
        assert self.store is not None, "a rank alone has nobody to ask"
        self.store.wait([f"{self._prefix}/{key}"], timeout)
        return self.store.get(f"{self._prefix}/{key}").decode()


class _Difference(NamedTuple):
    ahead_s: float
    error_s: float


def this_host() -> str:
    """This host and its boot: containers of two hosts may well have the same name."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return " ".join([platform.node(), boot.read_text().strip() if boot.exists() else ""]).strip()


def _create(path: Path, run: Run, *, overwrite: bool) -> str:
    """What stands in the way, for all ranks to know; empty where it went well."""
    try:
        create(path, run, overwrite=overwrite)
    except ThinwireError as error:
        return str(error)
    return ""


def _fingerprint(path: Path) -> list[int]:
    """What tells a file from its like on another host."""
    if not path.exists():
        return []
    status = path.stat()
    return [status.st_ino, status.st_mtime_ns]
