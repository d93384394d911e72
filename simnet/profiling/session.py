"""Measures what a profile lacks, and keeps each cost as soon as it is known."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simnet import profiles
from simnet.job import Job
from simnet.profiles import Cost, Profile
from simnet.profiling.calls import Wanted, calls
from simnet.profiling.timing import measured
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import on_gpu
from simnet.schedules.named import schedule as named_schedule
from traces.device import describe_device
from traces.errors import InputError
from traces.versions import versions


@dataclass(frozen=True)
class Plan:
    """Runs whose calls are to be measured: each schedule on each number of ranks.

    `schedules` are texts, with codecs, such as "ring/residual-1bit".
    """

    schedules: Sequence[str]
    ranks: Sequence[int]
    job: Job  # whose `ranks` do not matter, and whose steps are looked at for calls

    def wanted(self, left_out: Callable[[str], None]) -> list[Wanted]:
        """Their distinct calls, by kind of block; tells of runs that cannot be.

        Raises InputError where none can be.
        """
        seen: dict[tuple[str, str, str], Wanted] = {}
        reasons: list[str] = []
        for text in self.schedules:
            for ranks in self.ranks:
                try:
                    for each in calls([self._suited(text)], replace(self.job, ranks=ranks)):
                        seen.setdefault(each.key, each)
                except InputError as error:
                    reasons.append(f"{text} on {ranks} ranks: {error}")
        if not seen:
            raise InputError(f"none of these runs can be: {'; '.join(reasons)}")
        for reason in reasons:
            left_out(reason)
        return sorted(seen.values(), key=lambda wanted: wanted.kind)

    def _suited(self, text: str) -> TeamSchedule:
        """As this device runs it."""
        chosen = named_schedule(text)
        return on_gpu(chosen) if self.job.device.startswith("cuda") else chosen


@dataclass
class Session:
    """A profile in the making; at `path`, if there is one, it is on disk after each cost."""

    device: str
    made: Mapping[str, str]
    path: Path | None = None
    costs: dict[tuple[str, str, str], Cost] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, device: str, made: Mapping[str, str], path: Path | None, *, anew: bool = False
    ) -> Session:
        """With the costs that are at `path` already, unless they are to be measured anew.

        Raises InputError for costs of another device.
        """
        session = cls(device, made, path)
        if path is None or anew or not path.exists():
            return session
        known = profiles.read(path)
        if known.device != device:
            raise InputError(
                f"{path}: holds costs of {known.device!r}, these would be of {device!r}; name "
                "another file, or use --overwrite"
            )
        session.made = {**made, "command": _both(known.made, made)}
        session.costs = {cost.key: cost for cost in known.costs}
        return session

    def missing(self, wanted: Iterable[Wanted]) -> list[Wanted]:
        """Those that have not been measured."""
        return [each for each in wanted if each.key not in self.costs]

    def measure(self, wanted: Sequence[Wanted], device: str, repeats: int) -> Iterator[Cost]:
        """Measure these; each is kept when it is given out."""
        for cost in measured(wanted, device, repeats):
            self.costs[cost.key] = cost
            if self.path is not None:
                profiles.write(self.path, self.profile)
            yield cost

    @property
    def profile(self) -> Profile:
        """What is known so far."""
        return Profile(self.device, tuple(self.costs.values()), self.made)


def _both(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The commands that costs came of."""
    commands = [*before.get("command", "").split(" && "), now.get("command", "")]
    return " && ".join(dict.fromkeys(filter(None, commands)))


def named_device(device: str, threads: int) -> str:
    """A name for what is measured on: of the GPU, or of the processor and how much of it."""
    name = describe_device(device)
    if device.startswith("cuda"):
        return name
    return f"{name}, {threads} {'thread' if threads == 1 else 'threads'}"


def provenance(command: str) -> dict[str, str]:
    """What a profile was made by."""
    return {"command": command, "machine": platform.machine(), **versions()}
