"""Contention scenarios with the end of each flow in another simulator, and ours beside it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import simpy

from simnet.network.fluid import Fluid, Side
from traces.errors import InputError
from traces.units import bits

#: Largest error, relative to a flow's duration, at which two flow-level models are one.
LIMIT = 1e-9


class Flow(NamedTuple):
    """Bytes that set out over some links at some time, and when another simulator ends them."""

    start_s: float
    nbytes: float
    route: tuple[str, ...]
    finish_s: float


class Scenario(NamedTuple):
    """Links by name with their rate in bit/s, and the flows that share them."""

    links: Mapping[str, float]
    flows: tuple[Flow, ...]


class Row(NamedTuple):
    """One flow in both simulators; `error` is relative to its duration in the other one."""

    scenario: int
    flow: int
    finish_s: float
    expected_s: float
    error: float


def compare(scenarios: Sequence[Scenario]) -> list[Row]:
    """Simulate all scenarios; a row for each flow, in the order of the file."""
    return [
        Row(number, index, finish_s, flow.finish_s, _error(flow, finish_s))
        for number, scenario in enumerate(scenarios)
        for index, (flow, finish_s) in enumerate(zip(scenario.flows, play(scenario), strict=True))
    ]


def median_error(rows: Sequence[Row]) -> float:
    """Of all flows."""
    return statistics.median(row.error for row in rows)


def worst(rows: Sequence[Row]) -> Row:
    """The flow with the largest error."""
    return max(rows, key=lambda row: row.error)


def play(scenario: Scenario) -> list[float]:
    """When each flow ends, in seconds, with max-min fair sharing."""
    env = simpy.Environment()
    fluid = Fluid(env)
    sides = {name: Side(name, rate_bps) for name, rate_bps in scenario.links.items()}
    ends_s = [math.nan] * len(scenario.flows)

    def carry(index: int, flow: Flow) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(flow.start_s)
        yield fluid.start([sides[name] for name in flow.route], bits(flow.nbytes))
        ends_s[index] = env.now

    for index, flow in enumerate(scenario.flows):
        env.process(carry(index, flow))
    env.run()
    return ends_s


def _error(flow: Flow, finish_s: float) -> float:
    """A flow that takes no time there is either right or wholly wrong here."""
    off_s = abs(finish_s - flow.finish_s)
    took_s = flow.finish_s - flow.start_s
    return off_s / took_s if took_s else float(off_s > 0)


def load(path: Path) -> list[Scenario]:
    """Scenarios from a JSON file of the form that tests/data/README.md describes.

    Raises InputError naming the file, the scenario, and the key that is missing or makes no sense.
    """
    data = _read(path)
    if not isinstance(data, list) or not data:
        raise InputError(f"{path}: expected a list of at least one scenario")
    return [_scenario(entry, f"{path}: scenario {index}") for index, entry in enumerate(data)]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read scenarios: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # a ValueError also for what is no UTF-8
        raise InputError(f"{path}: expected the JSON of scenarios, but {error}") from error


def _scenario(entry: Any, where: str) -> Scenario:
    """Other keys, such as a seed or a name, are the file's own affair."""
    _expect_keys(entry, ("links", "flows"), where)
    links = dict(_links(entry["links"], where))
    flows = _items(entry["flows"], "flows", where)
    return Scenario(links, tuple(_flow(flow, links, there) for flow, there in flows))


def _links(entry: Any, where: str) -> Iterator[tuple[str, float]]:
    seen: dict[str, int] = {}
    for index, (link, there) in enumerate(_items(entry, "links", where)):
        _expect_keys(link, ("name", "rate_Bps"), there, ("latency_s",))
        name = link["name"]
        if not isinstance(name, str) or not name:
            raise InputError(f"{there}: name is {name!r}, expected text")
        if name in seen:
            raise InputError(f"{there}: name is {name!r}, as of links[{seen[name]}]; rename one")
        seen[name] = index
        rate = _number(link, "rate_Bps", there)
        if not rate > 0:
            raise InputError(f"{there}: rate_Bps is {rate}, expected bytes per second, > 0")
        if _number(link, "latency_s", there, 0) != 0:
            raise InputError(
                f"{there}: latency_s is {link['latency_s']}, expected 0: with latencies, the "
                "simulators' ways of sharing differ; make the scenarios without"
            )
        yield name, bits(rate)


def _flow(entry: Any, links: Mapping[str, float], where: str) -> Flow:
    _expect_keys(entry, ("start_s", "bytes", "route", "finish_s"), where, ("src", "dst"))
    start_s, nbytes, finish_s = (_number(entry, k, where) for k in ("start_s", "bytes", "finish_s"))
    for key in ("start_s", "bytes"):
        if entry[key] < 0:
            raise InputError(f"{where}: {key} is {entry[key]}, expected 0 or more")
    if finish_s < start_s:
        raise InputError(f"{where}: finish_s is {finish_s}, before start_s, {start_s}")
    route = entry["route"]
    if not isinstance(route, list) or not route:
        raise InputError(f"{where}: route is {route!r}, expected a list of at least one link")
    for name in route:
        if not isinstance(name, str) or name not in links:
            raise InputError(f"{where}: route names {name!r}, which is not among the links")
    return Flow(start_s, nbytes, tuple(route), finish_s)


def _items(entry: Any, key: str, where: str) -> list[tuple[Any, str]]:
    """The entries of a list, and what to call each in an error."""
    if not isinstance(entry, list) or not entry:
        raise InputError(f"{where}: {key} is empty or no list; expected at least one")
    return [(item, f"{where}: {key}[{index}]") for index, item in enumerate(entry)]


def _expect_keys(
    entry: Any, keys: Sequence[str], where: str, may: Sequence[str] | None = None
) -> None:
    """All the keys, and of others only those in `may`, where it is given."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with the keys {', '.join(keys)}")
    for key in keys:
        if key not in entry:
            raise InputError(f"{where}: the key {key!r} is missing; expected {', '.join(keys)}")
    for key in entry:
        if may is not None and key not in (*keys, *may):
            raise InputError(f"{where}: unknown key {key!r}; known are {', '.join((*keys, *may))}")


def _number(entry: Mapping[str, Any], key: str, where: str, default: float | None = None) -> float:
    value = entry.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"{where}: {key} is {value!r}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where}: {key} is {number}, expected a finite number")
    return number
