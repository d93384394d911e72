"""Goes through all plans: what cannot be run or is not wanted, what cannot win, and the rest.

A plan is left out unsimulated only where one that was simulated is as good in quality and
memory and faster than the other can be (see bounds.py, front.py). So the fastest plan,
and the front, are those of an exhaustive search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from analysis.plan.accuracy import Interval, error, interval
from analysis.plan.bounds import at_least_s
from analysis.plan.front import Worth, beaten, front, worth
from analysis.plan.quality import Quality, Source
from analysis.plan.setting import Setting
from analysis.plan.space import Plan, Refused
from analysis.plan.steady import Clock
from simnet.memory import Memory
from simnet.schedules.base import TeamSchedule
from traces.errors import InputError
from traces.units import format_bytes

#: Shows how far something is that takes a while: its parts, and how many there are.
Watch = Callable[[Iterable[Any], int], Iterator[Any]]


@dataclass(frozen=True)
class Budget:
    """What a plan must keep to; `quality_db` is of whoever knows the quality."""

    memory_bytes: float
    quality_db: float = -math.inf


class Candidate(NamedTuple):
    """A plan that can be run within the budget."""

    text: str
    schedule: TeamSchedule
    images: int  # of a team: `predict --batch`
    memory_bytes: int
    quality: Quality
    worth: Worth
    least_s: float


class Line(NamedTuple):
    """A plan, and what it is predicted to take."""

    candidate: Candidate
    latency_s: float
    between: Interval

    @property
    def text(self) -> str:
        """As `thinwire predict --schedule` takes it."""
        return self.candidate.text

    @property
    def worth(self) -> Worth:
        """See front.Weighed."""
        return self.candidate.worth


@dataclass
class Found:
    """What a search came to; every plan is in one of these."""

    lines: list[Line] = field(default_factory=list)  # simulated, the fastest first
    beaten: list[Candidate] = field(default_factory=list)  # whatever they take
    unknown: list[Candidate] = field(default_factory=list)  # nobody knows their quality
    refused: dict[str, list[Refused]] = field(default_factory=dict)  # by what was wrong
    steps: int = 0  # simulated, in all

    @property
    def front(self) -> list[Line]:
        """In latency, quality and memory; the fastest first, which is what to run."""
        return front(self.lines)

    @property
    def count(self) -> int:
        """Of plans that were looked at."""
        rest = sum(map(len, self.refused.values()))
        return len(self.lines) + len(self.beaten) + len(self.unknown) + rest

    def refuse(self, what: str, refused: Refused) -> None:
        """Note one that will not do."""
        self.refused.setdefault(what, []).append(refused)


CANNOT, TOO_LARGE, TOO_POOR = "cannot run", "do not fit in memory", "below the quality asked for"


def search(
    setting: Setting,
    tried: Iterable[Plan | Refused],
    source: Source,
    budget: Budget,
    watch: Watch = lambda items, _: iter(items),
) -> Found:
    """All of these plans. Raises InputError where none can be run within the budget."""
    found = Found()
    fitting = list(_fitting(found, setting, tried, source, budget))
    if not fitting:
        raise InputError(_nothing(found))
    clock, best = Clock(setting), list[Line]()
    computing_s: dict[str, float] = {}  # of uncoded plans
    # These first: what they compute, the same with a codec computes at least.
    for candidate in watch(_in_turn(fitting), len(fitting)):
        bare = candidate.text.partition("/")[0]
        least_s = max(candidate.least_s, computing_s.get(bare, 0.0))
        if beaten(best, least_s, candidate.worth):
            found.beaten.append(candidate)
            continue
        latency = clock.latency(candidate.schedule)
        if candidate.text == bare:
            computing_s[bare] = latency.computing_s
        found.lines.append(line(candidate, latency.total_s))
        best = front([*best, found.lines[-1]])
    found.lines.sort(key=lambda one: (one.latency_s, one.text))
    found.steps = clock.steps
    return found


def _in_turn(fitting: Iterable[Candidate]) -> list[Candidate]:
    """Those without a codec first, then by what they take at least."""
    return sorted(fitting, key=lambda c: ("/" in c.text, c.least_s, c.text))


def line(candidate: Candidate, total_s: float) -> Line:
    """A plan that takes so long, give or take."""
    return Line(candidate, total_s, interval(total_s, error(candidate.schedule)))


def _fitting(
    found: Found,
    setting: Setting,
    tried: Iterable[Plan | Refused],
    source: Source,
    budget: Budget,
) -> Iterator[Candidate]:
    """Those that may be run and keep the budget; notes the others."""
    for plan in tried:
        if isinstance(plan, Refused):
            found.refuse(CANNOT, plan)
            continue
        try:
            candidate = _candidate(setting, plan, source)
        except InputError as wrong:
            found.refuse(CANNOT, Refused(plan.text, str(wrong)))
            continue
        needed, db = candidate.memory_bytes, candidate.quality.db
        if needed > budget.memory_bytes:
            has = format_bytes(budget.memory_bytes)
            why = f"needs {format_bytes(needed)} of {has}"
            found.refuse(TOO_LARGE, Refused(plan.text, why, needed))
        elif math.isnan(db):
            found.unknown.append(candidate)
        elif db < budget.quality_db:
            why = f"{db:.1f} dB of {budget.quality_db:g}"
            found.refuse(TOO_POOR, Refused(plan.text, why, db))
        else:
            yield candidate


_UNKNOWN = Quality(math.nan, math.nan, "unknown")


def _candidate(setting: Setting, plan: Plan, source: Source) -> Candidate:
    chosen = setting.as_run(plan.schedule)
    job = setting.job_of(chosen)
    chosen.check(job)
    claims = chosen.claims(job)
    memory = Memory(chosen.weight_bytes(job), claims.kept_bytes).most_bytes
    quality = source.of(plan.schedule, job) or _UNKNOWN
    least_s = 0.0 if math.isnan(quality.db) else at_least_s(setting, chosen, job, claims)
    weighed = worth(quality.db, memory, setting.device.memory_bytes)
    return Candidate(plan.text, plan.schedule, job.images, memory, quality, weighed, least_s)


def _nothing(found: Found) -> str:
    """Why no plan is left."""
    groups = [(what, found.refused.get(what, [])) for what in (CANNOT, TOO_LARGE, TOO_POOR)]
    example = {CANNOT: first, TOO_LARGE: least, TOO_POOR: most}
    said = [f"{len(group)} {what} ({example[what](group)})" for what, group in groups if group]
    if found.unknown:
        said.append(
            f"of {len(found.unknown)} the quality is unknown ({found.unknown[0].text} is one)"
        )
    return f"no plan is left of {found.count}: {'; '.join(said) or 'none was named'}"


def first(group: Sequence[Refused]) -> str:
    """One of them."""
    return f"{group[0].text}: {group[0].why}"


def least(group: Sequence[Refused]) -> str:
    """What asks for least."""
    one = min(group, key=lambda refused: refused.amount)
    return f"least is {one.text}, which {one.why}"


def most(group: Sequence[Refused]) -> str:
    """What comes nearest."""
    one = max(group, key=lambda refused: refused.amount)
    return f"best is {one.text} with {one.why}"
