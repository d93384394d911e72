"""Every kind of figure: what it is called, what to see in it, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from figures.sources import (
    Inputs,
    OfTable,
    Source,
    all_traces,
    each_state,
    each_tensor,
    each_trace,
    first_sent,
    their_sweep,
    traces_of_same_work,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of figure; its module has `table(...)` and `draw(table)`, and is imported late."""

    name: str  # of the command and the files
    title: str
    sentence: str  # what to see in it
    needs: str
    module: str
    sources: Callable[[Inputs], Iterator[Source]] = each_trace
    made_by: str = "table"  # the module's function for it
    options: str = ""  # of the command that makes it, besides the traces

    def table(self, source: Source) -> pd.DataFrame:
        """What is drawn. Raises InputError, saying why, where it cannot be had of the source."""
        frame: pd.DataFrame = source.apply(self._member(self.made_by))
        return frame

    def draw(self, table: pd.DataFrame) -> Figure:
        """The figure of such a table."""
        drawn: Figure = self._member("draw")(table)
        return drawn

    def _member(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(import_module(self.module), name)
        return found


_KEPT = "kept activations (`thinwire run --keep`)"

_ENTRIES = (
    Entry(
        "timeline",
        "Timeline",
        "Red is waiting for the network; green is transfer that computing hides.",
        "a trace",
        "figures.timeline",
        all_traces,
        "tables",
    ),
    Entry(
        "bandwidth",
        "Latency against bandwidth",
        "Where lines cross, schedules break even; where one meets the dashed line, its network "
        "no longer matters.",
        "traces",
        "figures.bandwidth",
        their_sweep,
    ),
    Entry(
        "speedup",
        "Speedup by schedule and bandwidth",
        "From left to right the network gets faster; above 1 a schedule gains over the "
        "first, below it costs more than it saves.",
        "two traces or more",
        "figures.speedup",
        their_sweep,
    ),
    Entry(
        "breakdown",
        "What the time is made of",
        "Red adds to the latency and green does not: the same bytes cost what is not hidden.",
        "traces",
        "figures.breakdown",
        traces_of_same_work,
    ),
    Entry(
        "critical-path",
        "Critical path",
        "Only what is on the path makes a run shorter if it is made faster, and no more than "
        "its bar.",
        "traces",
        "figures.critical",
        all_traces,
    ),
    Entry(
        "utilisation",
        "Use of the network over time",
        "The lighter, the fuller; in dark columns the network waits for the ranks.",
        "a trace that sent something over a network",
        "figures.utilisation",
    ),
    Entry(
        "similarity",
        "Similarity of steps",
        "Next to the diagonal steps are nearly the same: what was sent a step ago would almost do.",
        _KEPT,
        "figures.similarity",
        each_tensor,
    ),
    Entry(
        "lags",
        "Similarity by lag",
        "Cosines stay high while distances grow: by cosine alone, old activations look better "
        "than they are.",
        _KEPT,
        "figures.lags",
    ),
    Entry(
        "residuals",
        "Activations and their residuals",
        "After the first steps residuals are several times smaller than activations, and grow "
        "towards the end.",
        _KEPT,
        "figures.residuals",
    ),
    Entry(
        "maps",
        "Tokens and channels that change",
        "Light tokens are where a step changes most, and a few channels change more than others.",
        _KEPT,
        "figures.maps",
        first_sent,
    ),
    Entry(
        "published",
        "Redundancy beside what was published",
        "Residuals are largest at both ends of the run in both, and the small model's steps "
        "are more alike than FLUX.1-dev's.",
        "traces that kept kv or hidden",
        "figures.published",
        all_traces,
    ),
    Entry(
        "spectra",
        "Spectra",
        "The farther a line is above that of noise, the fewer directions hold its energy; "
        "residuals are nearer to noise than activations are.",
        _KEPT,
        "figures.spectra",
        each_state,
    ),
    Entry(
        "errors",
        "Errors of receivers, three ways",
        "At the same bytes: a codec by itself, on residuals, where errors add up, and with errors "
        "fed back, where they do not.",
        _KEPT,
        "figures.errors",
        first_sent,
    ),
    Entry(
        "rate-distortion",
        "Rate and distortion",
        "Residuals with feedback lose least for their bits, or nearly so; points on the "
        "dashed line are as the closed form has them.",
        _KEPT,
        "figures.rate_distortion",
        first_sent,
    ),
    Entry(
        "trajectory",
        "Paths of the runs",
        "Residuals with feedback stay on the lossless path; codecs by themselves run beside it.",
        "traces of the same pictures that kept kv or hidden",
        "figures.trajectory",
        all_traces,
    ),
    Entry(
        "routing",
        "Which experts are wanted",
        "Orange experts get more than their share and violet ones less: most depends on the place "
        "in the image, less on the step and the class.",
        "a trace that kept `chosen` (and `label`, for classes)",
        "figures.routing",
    ),
    Entry(
        "agreement",
        "Agreement of choices over steps",
        "Most tokens go where they went a step ago, and to the same ranks more often than to the "
        "same experts.",
        "a trace that kept `chosen`",
        "figures.agreement",
    ),
    Entry(
        "imbalance",
        "Uneven experts, and what they cost",
        "The busiest expert has much more than the mean and the busiest rank somewhat more; the "
        "all-to-all takes a little longer for it.",
        "a trace that kept `chosen`",
        "figures.imbalance",
    ),
    Entry(
        "staleness",
        "Error by age",
        "Errors grow with age in every layer, and are largest where there is something to see.",
        _KEPT,
        "figures.staleness",
        first_sent,
    ),
    Entry(
        "vulnerability",
        "Vulnerability of layers",
        "The higher a bar, the more it harms pictures that this layer uses old activations.",
        "a table of vulnerability",
        "figures.vulnerability",
        OfTable("vulnerability", "thinwire vulnerability --out V.csv"),
        options="--vulnerability V.csv",
    ),
    Entry(
        "age",
        "Age of activations",
        "Dark is synchronous; a transfer of the step before is 1 old, and what experts made of it "
        "may be 2.",
        "a trace with waits",
        "figures.age",
    ),
    Entry(
        "roofline",
        "Roofline",
        "Kernels under the slope are bound by memory, those under the flat part by arithmetic, and "
        "those far below either by being launched.",
        "a trace of a known model",
        "figures.roofline",
    ),
    Entry(
        "pictures",
        "Pictures, and their differences",
        "Staleness and lossy codecs move outlines and prints, not what is shown.",
        "traces that kept `latent`",
        "figures.differences",
        all_traces,
    ),
    Entry(
        "pareto",
        "Quality against cost",
        "On the line is what nothing beats in both; the farther to the left and up, the better.",
        "a table of quality",
        "figures.pareto",
        OfTable("quality", "thinwire quality --out Q.csv"),
        options="--quality Q.csv",
    ),
)

#: By name.
FIGURES: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
