"""Named contention scenarios from CSV files, with SimGrid's results and an independent oracle's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from simnet.validation.lines import lines
from simnet.validation.scenario import LARGEST, Case, Change, Flow, Scenario
from traces.errors import InputError
from traces.units import bits

FLOWS, LINKS = "simgrid_scenarios.csv", "simgrid_scenario_links.csv"
_FLOW_COLUMNS = (
    *("scenario", "start_s", "bytes", "route", "path_latency_s"),
    *("simgrid_completion_s", "oracle_completion_s", "note"),
)
_LINK_COLUMNS = ("scenario", "link", "capacity_Bps", "capacity_changes")


class Named(NamedTuple):
    """A scenario with the oracle's ends, SimGrid's ends, and what it is about."""

    case: Case
    simgrid_s: tuple[float, ...]
    note: str


class Line(NamedTuple):
    """A line of a CSV file; `where` begins every complaint."""

    cells: Mapping[str, str]
    where: str

    def text(self, key: str) -> str:
        """Text that is not empty."""
        if not self.cells[key]:
            raise InputError(f"{self.where}: {key} is empty; fill it in")
        return self.cells[key]

    def number(self, key: str) -> float:
        """A finite number, 0 or more."""
        return _number(self.cells[key], f"{self.where}: {key}")


def load(folder: Path) -> list[Named]:
    """The scenarios of two files of the form that data/README.md beside this file describes.

    Raises InputError naming the file, the line, and the column that makes no sense.
    """
    links = _links(folder / LINKS)
    named: dict[str, list[Line]] = {}
    for line in _lines(folder / FLOWS, _FLOW_COLUMNS):
        named.setdefault(line.text("scenario"), []).append(line)
    if not named:
        raise InputError(f"{folder / FLOWS}: expected at least one scenario below the header")
    return [_named(name, of, links.get(name, Scenario({}, ()))) for name, of in named.items()]


def _lines(path: Path, columns: Sequence[str]) -> Iterator[Line]:
    return (Line(cells, where) for cells, where in lines(path, columns, "scenarios"))


def _links(path: Path) -> dict[str, Scenario]:
    """Scenarios that have no flows yet."""
    scenarios: dict[str, Scenario] = {}
    for line in _lines(path, _LINK_COLUMNS):
        name, link = line.text("scenario"), line.text("link")
        links, _, changes = scenarios.get(name, Scenario({}, ()))
        if link in links:
            raise InputError(f"{line.where}: {name} has a link {link!r} already; rename one")
        rate_bps = _rate_bps(line.cells["capacity_Bps"], f"{line.where}: capacity_Bps")
        scenarios[name] = Scenario({**links, link: rate_bps}, (), (*changes, *_changes(line, link)))
    return scenarios


def _changes(line: Line, link: str) -> Iterator[Change]:
    where = f"{line.where}: capacity_changes"
    for part in filter(None, line.cells["capacity_changes"].split(";")):
        time, colon, rate = part.partition(":")
        if not colon:
            raise InputError(f"{where} has {part!r}, expected time:rate, such as 0.5:1e8")
        yield Change(_number(time, where), link, _rate_bps(rate, where))


def _named(name: str, own: Sequence[Line], links: Scenario) -> Named:
    flows = tuple(_flow(line, links) for line in own)
    simgrid_s = tuple(line.number("simgrid_completion_s") for line in own)
    oracle_s = tuple(line.number("oracle_completion_s") for line in own)
    for line, flow, end_s in zip(own, flows, oracle_s, strict=True):
        if end_s < flow.start_s:
            raise InputError(
                f"{line.where}: oracle_completion_s is {end_s}, before start_s, {flow.start_s}"
            )
    return Named(Case(name, links._replace(flows=flows), oracle_s), simgrid_s, own[0].cells["note"])


def _flow(line: Line, scenario: Scenario) -> Flow:
    route = tuple(line.text("route").split("|"))
    for link in route:
        if link not in scenario.links:
            raise InputError(
                f"{line.where}: route names {link!r}, which is not among the scenario's links; "
                f"add it to {LINKS}"
            )
    start_s, latency_s = line.number("start_s"), line.number("path_latency_s")
    return Flow(start_s, line.number("bytes"), route, latency_s)


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{where} is {text!r}, expected a number") from None
    if not 0 <= number <= LARGEST:
        raise InputError(f"{where} is {number}, expected 0 or more, at most {LARGEST:g}")
    return number


def _rate_bps(text: str, where: str) -> float:
    rate = _number(text, where)
    if not rate >= 1 / LARGEST:
        raise InputError(f"{where} is {text}, expected bytes per second, from {1 / LARGEST:g} up")
    return bits(rate)
