"""How the ranks of a case compute, and so what a prediction takes for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from simnet.lab.undisturbed import Ask, middle, undisturbed

if TYPE_CHECKING:
    from simnet.costs import CostModel
    from simnet.drivers.host import HostCosts
    from simnet.lab.order import Workload
    from simnet.lab.unshaped import Unshaped


class Prepared(NamedTuple):
    """For a run, and for its prediction."""

    profile: Path | None  # how long the ranks' computes are to take; None: as long as they do
    cost: CostModel  # what is predicted of them
    host: HostCosts  # and of everything else that the ranks' host does
    cores: int | None  # that the ranks compute on; None: each has one, as far as one can tell


class Computing(Protocol):
    """A way to compute."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    @property
    def steps(self) -> int:
        """That a run takes, to be long enough."""
        ...

    def prepare(self, workload: Workload, unshaped: Unshaped) -> Prepared:
        """What both need, from what is known without a slow network."""
        ...

    def record(self, ask: Ask, workload: Workload, path: Path, prepared: Prepared) -> float:
        """Run it and record it there; gives for how long other work disturbed it, in seconds."""
        ...


class Pacing:
    """Every compute takes as long as a slow processor would, whatever else the cores do.

    The work is done, and then the rank waits until its time is over, which leaves the core free:
    communication is real and compute is exact.
    """

    name = "paced"
    steps = 4

    def prepare(self, workload: Workload, unshaped: Unshaped) -> Prepared:
        """See Computing."""
        host = unshaped.host(workload.ranks, workload.model)
        return Prepared(unshaped.profile(workload), unshaped.exact(workload), host, None)

    def record(self, ask: Ask, workload: Workload, path: Path, prepared: Prepared) -> float:
        """See Computing; a run that was disturbed is repeated."""
        return undisturbed(ask, workload, path, prepared.profile)


class Racing:
    """Computes take what they take, on cores that the ranks share."""

    name = "real"
    steps = 8

    def prepare(self, workload: Workload, unshaped: Unshaped) -> Prepared:
        """See Computing."""
        host = replace(unshaped.host(workload.ranks, workload.model), late_s=())
        return Prepared(None, unshaped.alone(workload), host, unshaped.cores)

    def record(self, ask: Ask, workload: Workload, path: Path, prepared: Prepared) -> float:
        """See Computing; the middle one of three runs counts."""
        del prepared
        return middle(ask, workload, path)


PACED, REAL = Pacing(), Racing()
