"""Options for conditions and replications, and the prediction that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.output import print_table, report, step_progress, with_progress
from simnet.drivers.observer import Observer
from simnet.network.conditions.conditions import Conditions, Jitter, Straggler
from simnet.network.network import Network
from simnet.replications import Distribution, replicate, seeds
from traces.errors import InputError
from traces.summary import Summary, summarize
from traces.trace import Trace
from traces.units import format_s, parse_time

if TYPE_CHECKING:
    from simnet.network.conditions.under import Under

#: A run on a network, which tells somebody how far it is.
Simulate = Callable[[Network, Observer], Trace]


@dataclass(frozen=True)
class Prediction:
    """One run, or the one in the middle of many."""

    summary: Summary
    trace: Callable[[], Trace]
    distribution: Distribution | None = None

    def save(self, out: Path | None, *, overwrite: bool) -> None:
        """The run's trace, where anybody wants it."""
        if out is not None:
            self.trace().save(out, overwrite=overwrite)

    def report(self, *, as_json: bool, more: dict[str, Any] | None = None) -> None:
        """As output.report; with the distribution before it, or in the JSON."""
        many = self.distribution
        if many is None:
            report(self.summary, as_json=as_json, more=more)
            return
        if not as_json:
            _print(many)
        extent = f"{self.summary.world} ranks, {self.summary.steps} steps, the median run"
        more = {"distribution": many.to_json()} | (more or {})
        report(self.summary, as_json=as_json, more=more, extent=extent)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ConditionChoice:
    """What is not as it should be, and how often to try."""

    jitter: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Messages arrive later by a random time with this mean, such as 20us."""
    straggler: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    """A rank and how many times as long its computes take, such as 2:1.5; may be repeated."""
    conditions: Path | None = None
    """A TOML file with [jitter], [[straggler]], [[background]], [[degradation]], [[outage]]."""
    conditions_seed: Annotated[int, Parameter(allow_leading_hyphen=True)] = 0
    """Of what is random in these, and of the first replication; those after it count on."""
    replications: Annotated[int, Parameter(allow_leading_hyphen=True)] = 1
    """How many runs; with more than 1, statistics of their totals, and --out is the median run."""

    def predict(
        self, network: Network, ranks: int, simulate: Simulate, *, text: str, steps: int
    ) -> Prediction:
        """On this network under these conditions, `text` beside a progress bar.

        Raises InputError for conditions that will not do, and for replications of what is certain.
        """
        if self.replications < 1:
            raise InputError(f"--replications is {self.replications}, expected 1 or more")
        conditions = self._conditions(network)
        if conditions is not None:
            under = _under(network, conditions, ranks, self.conditions_seed)
            if self.replications > 1:
                return self._replicated(under, simulate, text)
            network = under
        elif self.replications > 1:
            raise InputError(
                f"{self.replications} replications without conditions would all be equal; add "
                "--jitter or --conditions, or leave --replications out"
            )
        with step_progress(text, steps) as observer:
            trace = simulate(network, observer)
        return Prediction(summarize(trace), lambda: trace)

    def _replicated(self, under: Under, simulate: Simulate, text: str) -> Prediction:
        def predict(network: Under) -> Trace:
            return simulate(network, Observer())

        networks = seeds(under, self.replications)
        runs = list(with_progress(text, replicate(predict, networks), len(networks)))
        distribution = Distribution.of([run.total_s for run in runs])
        middle = distribution.median_run
        return Prediction(runs[middle], lambda: predict(networks[middle]), distribution)

    def _conditions(self, network: Network) -> Conditions | None:
        """Of the network's file, of the file of conditions and of the options together."""
        from simnet.network.conditions.named import Named
        from simnet.network.conditions.reading import open_conditions

        parts = [network.conditions] if isinstance(network, Named) else []
        if self.conditions is not None:
            parts.append(open_conditions(self.conditions))
        if self.jitter is not None or self.straggler:
            parts.append(self._of_options())
        given = [part for part in parts if part is not None]
        return reduce(Conditions.joined, given) if given else None

    def _of_options(self) -> Conditions:
        jitter = Jitter() if self.jitter is None else Jitter(parse_time(self.jitter))
        return Conditions(jitter, tuple(map(_straggler, self.straggler)))


def _under(network: Network, conditions: Conditions, ranks: int, seed: int) -> Under:
    from simnet.network.conditions.named import Named
    from simnet.network.conditions.under import Under

    if not isinstance(network, Named):
        raise InputError(
            f"conditions need the links of a network model; {network.name!r} as recorded has only "
            "times; choose another with --network or --rate"
        )
    return Under(network, conditions, ranks, seed)


def _straggler(text: str) -> Straggler:
    rank, _, slowdown = text.partition(":")
    try:
        return Straggler(int(rank), float(slowdown))
    except ValueError as error:
        raise InputError(
            f"--straggler {text!r}: expected a rank and a slowdown, such as 2:1.5"
        ) from error


def _print(many: Distribution) -> None:
    """Differences stand by themselves, for they may be smaller than the digits of a total show."""

    def quantile(time_s: float) -> str:
        off = f" ({time_s / many.median_s - 1:+.2%})" if many.median_s else ""
        return format_s(time_s) + off

    half_s = (many.mean_high_s - many.mean_low_s) / 2
    cells = (
        len(many.totals_s),
        f"{format_s(many.mean_s)} ± {format_s(half_s)}",
        format_s(many.sd_s),
        format_s(many.median_s),
        quantile(many.low_s),
        quantile(many.high_s),
    )
    columns = ("runs", "mean, 95 % confidence", "standard deviation", "median", "5 %", "95 %")
    print_table("totals of the runs, and how far from the median", columns, [cells])
