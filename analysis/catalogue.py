"""Which analyses there are of a trace, what each needs, and where its code is: a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from traces.trace import Trace

    Result: TypeAlias = xr.Dataset | xr.DataArray | pd.DataFrame


class Need(Protocol):
    """What a trace must have for an analysis to say anything; cheap to look for."""

    def missing(self, trace: Trace) -> str:
        """What this trace lacks and how to have it, a sentence; "" where it lacks nothing."""
        ...


@dataclass(frozen=True)
class Anything:
    """Any trace will do."""

    def missing(self, trace: Trace) -> str:
        """See Need."""
        del trace
        return ""


@dataclass(frozen=True)
class Kept:
    """One of these activations, of so many steps; any activation, without names."""

    names: tuple[str, ...] = ()
    steps: int = 2

    def missing(self, trace: Trace) -> str:
        """See Need."""
        wanted = " or ".join(self.names) or "any activation"
        if not (set(self.names) & set(trace.kept()) if self.names else trace.kept()):
            keep = ",".join(self.names) or "kv,hidden"
            return f"{wanted} was not kept: record with --keep {keep}"
        few = trace.run.steps < self.steps
        return f"needs {self.steps} steps or more: there are {trace.run.steps}" if few else ""


@dataclass(frozen=True)
class Tensors:
    """A kept activation of the kind that an analysis is of; there is none."""

    def missing(self, trace: Trace) -> str:
        """See Need."""
        kept = ", ".join(trace.kept()) or "nothing"
        return f"{kept} was kept: record activations with --keep kv,hidden"


@dataclass(frozen=True)
class Comparable:
    """An activation of two steps or more, whole or sketched."""

    def missing(self, trace: Trace) -> str:
        """See Need."""
        return "" if trace.reduced() and trace.run.steps > 1 else Kept().missing(trace)


@dataclass(frozen=True)
class Waits:
    """A rank waits for a transfer."""

    def missing(self, trace: Trace) -> str:
        """See Need."""
        waits = any((rows["kind"] == "wait").any() for rows in trace.scan(["kind"]))
        return "" if waits else "no rank waits for another: nothing was sent"


@dataclass(frozen=True)
class Analysis:
    """One call that makes a labelled array, a set of them, or a table from a trace.

    Attributes:
        name: of its file, of `thinwire analyse`.
        about: what it tells, a sentence.
        where: its function, "module:name", imported when it is first called.
        needs: what a trace must have.
        arguments: to its function, after the trace.
    """

    name: str
    about: str
    where: str
    needs: Need = field(default_factory=Anything)
    arguments: tuple[Any, ...] = ()

    def compute(self, trace: Trace) -> Result:
        """The result; raises InputError where the trace turns out to lack something."""
        module, _, name = self.where.partition(":")
        function: Callable[..., Result] = getattr(import_module(module), name)
        return function(trace, *self.arguments)


#: Of the trace as a whole: `function(trace)`.
OF_TRACES: tuple[Analysis, ...] = (
    Analysis(
        "ages",
        "how old what ranks used of others was",
        "analysis.staleness:ages",
        Waits(),
    ),
    Analysis(
        "score-errors",
        "what old outputs of experts do wrong, by the router's score",
        "analysis.staleness_scores:error_by_score",
        Kept(("outputs",)),
    ),
    Analysis(
        "loads",
        "how many tokens go to each expert: by step, layer, class and place",
        "analysis.routing:loads",
        Kept(("chosen",), steps=1),
    ),
    Analysis(
        "agreement",
        "how often tokens go to the same experts as steps ago",
        "analysis.routing_agreement:agreement",
        Kept(("chosen",)),
    ),
    Analysis(
        "imbalance",
        "how unevenly experts and their ranks are wanted",
        "analysis.imbalance:imbalance",
        Kept(("chosen",), steps=1),
    ),
    Analysis(
        "dispatch-times",
        "what uneven choices do to the all-to-all, predicted on eight GPUs over PCIe",
        "analysis.imbalance:dispatch_times_on",
        Kept(("chosen",), steps=1),
        ("8x4090-pcie",),
    ),
    Analysis(
        "communication",
        "exposed and hidden communication by step and kind",
        "analysis.breakdown:communication",
        Waits(),
    ),
    Analysis(
        "critical-path",
        "the operations and transfers that the run's length is made of",
        "analysis.critical_path:critical_path",
    ),
    Analysis(
        "critical-shares",
        "what the critical path is made of, by kind, line and name",
        "analysis.critical_path:shares_by_kind_and_line",
    ),
    Analysis(
        "lines",
        "how busy each communicator is over time",
        "analysis.utilisation:lines_busy",
        Waits(),
    ),
    Analysis(
        "links",
        "how busy each link of a predicted run is over time",
        "analysis.utilisation:links_busy",
        Waits(),
    ),
)

#: Of each tensor by itself that was kept or sketched: `function(trace, tensor)`.
OF_COMPARABLE: tuple[Analysis, ...] = (
    Analysis(
        "redundancy",
        "how alike all steps are, and how large their residuals",
        "analysis.redundancy:redundancy",
        Comparable(),
    ),
)

#: Of each that was kept whole, with a name of analysis.tensors.
OF_TENSORS: tuple[Analysis, ...] = (
    Analysis(
        "maps",
        "which tokens and channels change from step to step",
        "analysis.redundancy_maps:redundancy_maps",
        Kept(),
    ),
)

#: Likewise, of tensors that are sent: not of the choices and scores of experts.
OF_SENT: tuple[Analysis, ...] = (
    Analysis(
        "staleness",
        "what is wrong where an activation of some steps ago is used",
        "analysis.staleness_error:error_by_age",
        Kept(("kv", "hidden", "latent", "outputs")),
    ),
    Analysis(
        "spectra",
        "in how many directions activations and residuals have their energy",
        "analysis.spectra:spectra",
        Kept(steps=1),
    ),
    Analysis(
        "codecs",
        "what each codec loses of them, in one shot and step after step",
        "analysis.codec_replay:codec_replay",
        Kept(),
    ),
    Analysis(
        "trajectory",
        "the path over the steps, on its principal components",
        "analysis.trajectory:trajectory",
        Kept(),
    ),
)


def analyses(trace: Trace) -> Iterator[Analysis]:
    """All that there are, those of tensors once for each that was kept: "redundancy-hidden".

    Where none was kept they come once, without a tensor, so that their need says what is missing.
    """
    from analysis.sketched import comparable
    from analysis.tensors import names, sent

    yield from OF_TRACES
    of_each = (
        (OF_COMPARABLE, comparable(trace)),
        (OF_TENSORS, names(trace)),
        (OF_SENT, sent(trace)),
    )
    for entries, kept in of_each:
        for each in entries:
            for tensor in kept:
                yield replace(each, name=f"{each.name}-{tensor}", arguments=(tensor,))
            if not kept:
                yield replace(each, needs=Tensors())
