"""Contention scenarios with the end of each flow in another simulator, from a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simnet.validation.scenario import LARGEST, Case, Flow, Scenario
from traces.errors import InputError
from traces.units import bits


def load(path: Path) -> list[Case]:
    """Scenarios from a JSON file of the form that data/README.md beside this file describes.

    Raises InputError naming the file, the scenario, and the key that is missing or makes no sense.
    """
    data = _read(path)
    if not isinstance(data, list) or not data:
        raise InputError(f"{path}: expected a list of at least one scenario")
    return [_case(entry, f"{path}: scenario {index}") for index, entry in enumerate(data)]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read scenarios: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # a ValueError also for what is no UTF-8
        raise InputError(f"{path}: expected the JSON of scenarios, but {error}") from error


def _case(entry: Any, where: str) -> Case:
    """Other keys, such as a seed or a name, are the file's own affair."""
    _expect_keys(entry, ("links", "flows"), where)
    links = dict(_links(entry["links"], where))
    items = _items(entry["flows"], "flows", where)
    flows, ends_s = zip(*(_flow(flow, links, there) for flow, there in items), strict=True)
    return Case(where, Scenario(links, flows), ends_s)


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
        if not rate >= 1 / LARGEST:
            raise InputError(
                f"{there}: rate_Bps is {rate}, expected bytes per second, > 0 (from "
                f"{1 / LARGEST:g} up); take out a link that carries nothing and the flows over it"
            )
        if _number(link, "latency_s", there, 0) != 0:
            raise InputError(
                f"{there}: latency_s is {link['latency_s']}, expected 0: with latencies, the "
                "simulators' ways of sharing differ; make the scenarios without"
            )
        yield name, bits(rate)


def _flow(entry: Any, links: Mapping[str, float], where: str) -> tuple[Flow, float]:
    """And when it ends there."""
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
    return Flow(start_s, nbytes, tuple(route)), finish_s


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
    if not abs(number) <= LARGEST:
        raise InputError(
            f"{where}: {key} is {number}, expected a finite number, at most {LARGEST:g}"
        )
    return number
