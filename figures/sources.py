"""What figures are made from: traces and tables, and which of them a figure of a kind is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from figures.comparable import check_same_work
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace


@dataclass(frozen=True)
class Inputs:
    """What figures are made from: traces by their labels, and tables by what they hold."""

    traces: Mapping[str, Trace]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def points(self) -> pd.DataFrame:
        """Latencies of the traces' replays at rates from slow to fast, which take their time."""
        from analysis.sweep import sweep
        from figures import bandwidth
        from simnet.network.presets import links
        from simnet.network.topology import Links

        over = [*(Links("", rate_bps, _LATENCY_S) for rate_bps in _RATES_BPS), *map(links, _MARKED)]
        return bandwidth.table(sweep(self.traces, over))


#: Of the links that traces are replayed on; the latency is TCP's between two hosts.
_RATES_BPS = (1e8, 10**8.5, 1e9, 10**9.5, 1e10, 1e11)
_LATENCY_S = 50e-6
_MARKED = ("ethernet-1g", "ethernet-10g", "pcie-4")

_KEEP = "record with --keep kv,hidden"
#: Kept, but no activation that layers hand on or send.
_ROUTES = ("scores", "latent", "chosen")


class Source(NamedTuple):
    """What one figure of a kind is made from, and how to get its table.

    `apply` is given the function that the figure's module has for it; `trace` is the label of the
    only one that is needed, "" for all of them.
    """

    label: str  # tells it from others of its kind; "" for the only one
    apply: Callable[[Callable[..., Any]], Any]
    trace: str = ""


def each_trace(inputs: Inputs) -> Iterator[Source]:
    """A figure for each trace, `table(trace)`; labelled where there are several."""
    for label, trace in inputs.traces.items():
        yield Source(label if len(inputs.traces) > 1 else "", _bind(trace), label)


def each_tensor(inputs: Inputs) -> Iterator[Source]:
    """A figure for each activation of each trace whose steps can be compared, choices too.

    `table(trace, tensor)`.
    """
    from analysis.sketched import comparable

    return _each_of(inputs, ("scores", "latent"), comparable)


def each_state(inputs: Inputs) -> Iterator[Source]:
    """The same, of those that layers hand on or send."""
    from analysis.tensors import names

    return _each_of(inputs, _ROUTES, names)


def first_sent(inputs: Inputs) -> Iterator[Source]:
    """One figure, of the first trace's that kept any, of its keys or else hidden states.

    For what takes long, where other traces would show much the same.
    """
    without = (*_ROUTES, "outputs")  # which are of slots, not of places of the image
    from analysis.tensors import names

    found = {label: _chosen(names(trace), without) for label, trace in inputs.traces.items()}
    label = next((label for label, kept in found.items() if kept), next(iter(found), None))
    if label is not None:
        yield from _of_trace(inputs, label, found[label][:1])


def _each_of(
    inputs: Inputs, without: Collection[str], names: Callable[[Trace], Sequence[str]]
) -> Iterator[Source]:
    for label, trace in inputs.traces.items():
        yield from _of_trace(inputs, label, _chosen(names(trace), without))


def _of_trace(inputs: Inputs, label: str, tensors: Sequence[str]) -> Iterator[Source]:
    before, trace = f"{label} " if len(inputs.traces) > 1 else "", inputs.traces[label]
    for tensor in tensors:
        yield Source(f"{before}{tensor}", _bind(trace, tensor), label)
    if not tensors:
        yield Source(before.strip(), _refuse(f"no activations were kept: {_KEEP}"), label)


def _chosen(names: Sequence[str], without: Collection[str]) -> list[str]:
    """Keys first."""
    return sorted((name for name in names if name not in without), key=lambda name: name != "k")


def all_traces(inputs: Inputs) -> Iterator[Source]:
    """One figure of all traces, `table(traces)`."""
    yield Source("", _bind(inputs.traces) if inputs.traces else _refuse("no trace was given"))


def traces_of_same_work(inputs: Inputs) -> Iterator[Source]:
    """The same, of runs whose times can be compared."""
    yield Source("", lambda table: table(_of_same_work(inputs.traces)))


def their_sweep(inputs: Inputs) -> Iterator[Source]:
    """One figure of all such traces replayed at several rates, `table(points)`."""

    def apply(table: Callable[..., Any]) -> Any:
        _of_same_work(inputs.traces)
        return table(inputs.points)

    yield Source("", apply)


def _of_same_work(traces: Mapping[str, Trace]) -> Mapping[str, Trace]:
    if not traces:
        raise InputError("no trace was given")
    check_same_work({label: (trace.run, trace.run.steps) for label, trace in traces.items()})
    return traces


@dataclass(frozen=True, slots=True)
class OfTable:
    """One figure of a table that was measured before, `table(rows)`."""

    name: str
    made_by: str

    def __call__(self, inputs: Inputs) -> Iterator[Source]:
        """The one, if there is such a table."""
        yield Source("", self._bound(inputs))

    def _bound(self, inputs: Inputs) -> Callable[[Callable[..., Any]], Any]:
        def apply(table: Callable[..., Any]) -> Any:
            if self.name not in inputs.tables:
                raise InputError(f"no table of {self.name}: make one with {self.made_by}")
            return table(inputs.tables[self.name])

        return apply


def _bind(*given: object) -> Callable[[Callable[..., Any]], Any]:
    return lambda table: table(*given)


def _refuse(why: str) -> Callable[[Callable[..., Any]], Any]:
    def apply(table: Callable[..., Any]) -> Any:
        del table
        raise InputError(why)

    return apply
