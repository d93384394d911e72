"""What is recorded before any network is slow: compute times, hosts' costs, choices of experts."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simnet.costs import MeasuredCosts, Roofline
from simnet.drivers.host import HostCosts
from simnet.drivers.simulated import simulate
from simnet.lab.order import Workload, alone_order, run_order
from simnet.lab.oversleep import overslept_s
from simnet.lab.pace import SLOW
from simnet.lab.site import Site, ThisHost
from simnet.lab.team import Team
from simnet.lab.undisturbed import undisturbed
from simnet.network.presets import NETWORKS
from simnet.schedules.base import TeamSchedule
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.named import schedule as named
from simnet.schedules.named import with_routing
from traces.trace import Trace

#: The command of a rank.
WORKER = (sys.executable, "-m", "simnet.lab.worker")
#: So long a run, or the measurements of a network, may take.
LONGEST_S = 180.0

#: By model, whose operations show what a host takes for one: it depends on how much python there
#: is to each.
_SHOWN = {
    "dit-tiny": ("ring", "patch", "pipefusion"),
    "dit-moe-tiny": ("expert", "interweaved"),
}


class Unshaped:
    """Ranks on this host's loopback device, started when something is to be recorded.

    Everything is recorded once and kept in `folder`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._teams: dict[int, Team] = {}
        self.host = cache(self._host)
        self.routed = cache(self._routed)
        self.exact = cache(self._exact)
        self.alone = cache(self._alone)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def cores(self) -> int:
        """That all ranks share."""
        return len(os.sched_getaffinity(0))

    def profile(self, workload: Workload) -> Path:
        """A file of how long each paced compute is to take."""
        path = self._place("costs", workload).with_suffix(".json")
        if not path.exists():
            self.exact(workload).save(path)
        return path

    def _exact(self, workload: Workload) -> MeasuredCosts:
        job, roofline = workload.job(), Roofline(SLOW)
        return MeasuredCosts.from_trace(
            simulate(self.routed(workload), job, roofline, NETWORKS["infinite"])
        )

    def _alone(self, workload: Workload) -> MeasuredCosts:
        """Of each compute by itself, with no other at the same time."""
        path = self._place("alone", workload)
        self._ask(workload.ranks, alone_order(workload, path))
        return MeasuredCosts.from_trace(Trace.open(path))

    def _routed(self, workload: Workload) -> TeamSchedule:
        """The schedule, with experts wanted as the gate wants them in a recorded run."""
        schedule = named(workload.schedule)
        if not isinstance(schedule, ExpertSchedule):
            return schedule
        path = self._place("routing", workload)
        self._ask(workload.ranks, run_order(workload, path, keep=["chosen"]))
        return with_routing(schedule, str(path))

    def _host(self, ranks: int, model: str) -> HostCosts:
        """What operations take of a host of so many ranks, and how late paced computes end."""
        traces, late_s = [], []
        for method in _SHOWN[model]:
            workload = Workload(method, model, ranks, 4)
            path = self._place("host", workload)
            undisturbed(partial(self._ask, ranks), workload, path, self.profile(workload))
            traces.append(Trace.open(path))
            late_s += overslept_s(traces[-1], self.exact(workload))
        return HostCosts.of(traces, late_s)

    def _ask(self, ranks: int, order: dict[str, Any]) -> list[Any]:
        return self._team(ranks).ask(order, LONGEST_S)

    def _team(self, ranks: int) -> Team:
        if ranks not in self._teams:
            site: Site = ThisHost(ranks)
            self._teams[ranks] = self._stack.enter_context(Team(site, WORKER))
        return self._teams[ranks]

    def _place(self, what: str, workload: Workload) -> Path:
        folder = self.folder / what
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{workload.schedule}-{workload.ranks}".replace("/", "+").replace(":", "_")
        return folder / name
