"""All comparisons with other simulators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import ClassVar, NamedTuple

from simnet.validation import collectives, flows, scenarios, simgrid_process
from simnet.validation.fresh import fresh
from simnet.validation.scenario import LIMIT, Case, Row, compare, error
from simnet.validation.scenarios import Named
from simnet.validation.suite import Result, Suite
from traces.units import format_s

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Flows:
    """Random scenarios without latencies, and SimGrid's ends of their flows, in a JSON file."""

    path: Path = DATA / "simgrid_flows.json"
    name: ClassVar = "flows"

    def run(self) -> Result:
        """Compare every flow."""
        cases = flows.load(self.path)
        rows = compare(cases)
        return Result(self.name, len(cases), rows, limit=LIMIT, flows=len(rows))


@dataclass(frozen=True)
class Scenarios:
    """Named scenarios, with latencies and links that change, against an independent oracle.

    Where SimGrid's ends, which stand beside the oracle's, are others, notes say so. `folder` holds
    the two CSV files.
    """

    folder: Path = DATA
    name: ClassVar = "scenarios"

    def run(self) -> Result:
        """Compare every flow."""
        named = scenarios.load(self.folder)
        rows = compare([scenario.case for scenario in named])
        beside = _beside_simgrid(named, rows)
        agreeing = [row.error for row, _ in beside if row.error <= LIMIT]
        differing = [(row, note) for row, note in beside if not row.error <= LIMIT]
        return Result(
            *(self.name, len(named), rows),
            limit=LIMIT,
            flows=len(rows),
            notes=tuple(
                f"{row.case}: flows[{row.flow}] ends at {row.expected_s:g} s in SimGrid, "
                f"{row.finish_s:g} s here: {note}"
                for row, note in differing
            ),
            more={
                "simgrid_max_relative_error": max(agreeing, default=0.0),
                "simgrid_differs": list(dict.fromkeys(row.case for row, _ in differing)),
            },
        )


def _beside_simgrid(named: Sequence[Named], rows: Sequence[Row]) -> list[tuple[Row, str]]:
    """The same rows with SimGrid's ends as the expected ones, and each scenario's note."""
    ends = [
        (flow.start_s, simgrid_s, note)
        for case, ends_s, note in named
        for flow, simgrid_s in zip(case.scenario.flows, ends_s, strict=True)
    ]
    return [
        (row._replace(expected_s=end_s, error=error(start_s, row.finish_s, end_s)), note)
        for row, (start_s, end_s, note) in zip(rows, ends, strict=True)
    ]


@dataclass(frozen=True)
class Collectives:
    """Collectives on idle networks against ASTRA-sim, in a CSV file, where both models are one."""

    path: Path = collectives.DATA
    name: ClassVar = collectives.SUITE

    def run(self) -> Result:
        """Compare every such collective."""
        rows = collectives.compare(collectives.load(self.path))
        compared = [_Collective(row) for row in rows if row.comparable]
        return Result(self.name, len(compared), compared, limit=collectives.LIMIT, flows=None)


@dataclass(frozen=True)
class OtherCollectives:
    """The others in that file: ours, brought to what ASTRA-sim means by a formula, against its."""

    path: Path = collectives.DATA
    name: ClassVar = "collectives-stored"

    def run(self) -> Result:
        """Compare what the formulas make of every such collective."""
        rows = collectives.compare(collectives.load(self.path))
        compared = [_Collective(row) for row in rows if not row.comparable]
        reasons = Counter(row.reason for row in rows)
        return Result(
            *(self.name, len(compared), compared),
            limit=collectives.LIMIT,
            flows=None,
            notes=tuple(
                f"{reasons[reason]} are {reason}: {formula}"
                for reason, formula in collectives.DIFFERENCES.items()
                if reasons[reason]
            ),
        )


class _Collective(NamedTuple):
    row: collectives.Row

    @property
    def error(self) -> float:
        return self.row.adjusted_error

    def __str__(self) -> str:
        case = self.row.case
        return (
            f"{case.where}: {case.kind} takes {self.row.adjusted_s!r} s, expected "
            f"{case.theirs_s!r} s: an error of {self.error:.1e} of that"
        )


@dataclass(frozen=True)
class SimGrid:
    """Random scenarios that are new for each seed, side by side with SimGrid, and how long for."""

    count: int
    seed: int
    name: ClassVar = "simgrid"

    def run(self) -> Result:
        """Compare every flow; raises InputError where SimGrid is not installed."""
        drawn = fresh(self.count, self.seed)
        version, ends_s, simgrid_wall_s = simgrid_process.simulate(drawn)
        names = [f"scenario {number} of seed {self.seed}" for number in range(self.count)]
        began_s = perf_counter()
        rows = compare(list(map(Case, names, drawn, ends_s)))
        wall_s = perf_counter() - began_s
        note = (
            f"simulated in {format_s(wall_s)} here, {format_s(simgrid_wall_s)} in SimGrid "
            f"{version} by its Python interface: {wall_s / simgrid_wall_s:.2f} times as long"
        )
        return Result(
            *(self.name, len(drawn), rows),
            limit=LIMIT,
            flows=len(rows),
            notes=(note,),
            more={"wall_s": wall_s, "simgrid_wall_s": simgrid_wall_s, "simgrid_version": version},
        )


#: Those that need nothing but the project itself.
COMMITTED: tuple[Suite, ...] = (
    Flows(),
    Scenarios(),
    Collectives(),
    OtherCollectives(),
)
