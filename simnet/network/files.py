"""Reads networks from TOML files; refuses what is missing, misspelt, or no network."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from simnet.network.collectives.named import selection, with_efficiency
from simnet.network.collectives.selection import RING, Selection
from simnet.network.conditions.reading import read as read_conditions
from simnet.network.conditions.sites import Sites
from simnet.network.fields import Fields
from simnet.network.graph import ByHand, Graph
from simnet.network.link import Link, Switch
from simnet.network.presets import links as preset_links
from simnet.network.presets import network as preset
from simnet.network.topology import Islands, Links, Medium, Topology
from traces.errors import InputError, unknown

#: The kinds of networks, and the keys of a file that say which it is.
_KINDS = {
    "[links]": ("links",),
    "[medium]": ("medium",),
    "[inside] and [between]": ("inside", "between", "ranks_per_island"),
    "[[link]]": ("ranks", "link", "switch", "route", "staged_through"),
}
_DUPLEX = {"full": False, "half": True}

Uniform = TypeVar("Uniform", Links, Medium)


def find(name: str) -> Topology:
    """The network of a preset's name or, where it ends in .toml or is a path, of a file.

    Raises InputError as presets.network and `load` do.
    """
    return load(Path(name)) if is_file(name) else preset(name)


def is_file(name: str) -> bool:
    """Whether a network's name means a file."""
    return name.lower().endswith(".toml") or os.sep in name


def load(path: Path) -> Topology:
    """The network that a file describes.

    Raises InputError with the file, the table and the key at fault, and what to do.
    """
    fields = Fields(_content(path), str(path))
    kind = _kind(fields)
    name = fields.text("name", path.stem)
    with fields.at():
        network = replace(
            _READERS[kind](fields, name),
            collectives=_collectives(fields.table("collectives")),
            conditions=read_conditions(fields),
            source=_source(fields.take("source", {}), fields),
        )
    fields.finish()
    if network.conditions:
        Sites(network).check(network.conditions)
    return network


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; expected a network file, or a preset "
            "(`thinwire list networks`)"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML: {error}") from error


def _kind(fields: Fields) -> str:
    there = fields.left()
    found = [kind for kind, keys in _KINDS.items() if not set(keys).isdisjoint(there)]
    if not found:
        only = f"only {', '.join(there)}" if there else "it is empty"
        raise InputError(f"{fields.where}: has no network ({only}); add {' or '.join(_KINDS)}")
    if len(found) > 1:
        raise InputError(
            f"{fields.where}: has {' and '.join(found)}, which are different kinds of networks; "
            "keep one"
        )
    return found[0]


def _links(fields: Fields, name: str) -> Links:
    return _uniform(fields.table("links"), name, Links)


def _medium(fields: Fields, name: str) -> Medium:
    return _uniform(fields.table("medium"), name, Medium)


def _islands(fields: Fields, name: str) -> Islands:
    size = fields.count("ranks_per_island")
    inside = _uniform(fields.table("inside"), "inside", Links)
    return Islands(name, size, inside, _uniform(fields.table("between"), "between", Links))


def _uniform(entry: Fields, name: str, kind: type[Uniform]) -> Uniform:
    """One table of rate and costs; those of the preset that it is `like` where it has none."""
    with entry.at():
        if entry.has("like"):
            pattern = preset_links(entry.text("like"))
            costs = {key: getattr(pattern, key) for key in _COSTS.values()}
            rate_bps = entry.rate("rate") if entry.has("rate") else pattern.rate_bps
            cap_bps = pattern.cap_bps
            costs |= {key: getattr(pattern, key) for key in _OF_PACKETS}
        else:
            costs = dict.fromkeys(_COSTS.values(), 0.0)
            rate_bps, cap_bps = entry.rate("rate"), math.inf
        costs |= {field: entry.time(key) for key, field in _COSTS.items() if entry.has(key)}
        if entry.has("per_flow"):
            cap_bps = entry.rate("per_flow")
        costs |= _of_packets(entry)
        efficiency = _part(entry, "efficiency")
        entry.finish()
        return kind(name, rate_bps * efficiency, cap_bps=cap_bps, **costs)


_OF_PACKETS = ("burst_bytes", "peak_bps", "acks", "queue_bytes")


def _of_packets(entry: Fields) -> dict[str, float]:
    """What passes at once after a rest, and what goes back, where the table says so."""
    numbers = {}
    for key in ("burst_bytes", "queue_bytes"):
        if entry.has(key):
            numbers[key] = entry.number(key, above=-1)
    if entry.has("peak"):
        numbers["peak_bps"] = entry.rate("peak")
    if entry.has("acks"):
        numbers["acks"] = entry.number("acks", above=-1, at_most=1)
    return numbers


#: Times, by their keys in a file.
_COSTS = {"latency": "latency_s", "message": "message_s", "ready": "ready_s"}


def _graph(fields: Fields, name: str) -> Graph:
    links = [link for entry in fields.tables("link") for link in _link(entry)]
    return Graph(
        name,
        tuple(fields.texts("ranks")),
        tuple(links),
        switches=tuple(_switch(entry) for entry in fields.tables("switch")),
        routes=tuple(_route(entry) for entry in fields.tables("route")),
        staged_through=tuple(fields.texts("staged_through", [])),
    )


def _link(entry: Fields) -> list[Link]:
    """One link, or one for each of the nodes that `from` or `to` lists."""
    starts, ends = entry.texts("from"), entry.texts("to")
    several = max(len(starts), len(ends))
    if len(starts) == 1:
        starts *= several
    if len(ends) == 1:
        ends *= several
    if len(starts) != len(ends):
        raise InputError(
            f"{entry.where}: from lists {len(starts)} nodes and to {len(ends)}; "
            "make them as many, or one of them one"
        )
    names = [f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]
    if entry.has("name"):
        name = entry.text("name")
        names = [name] if several == 1 else [f"{name}-{place}" for place in range(several)]
    duplex = entry.text("duplex", "full")
    if duplex not in _DUPLEX:
        raise InputError(f"{entry.where}: {unknown('duplex', duplex, _DUPLEX)}")
    rate_bps = entry.rate("rate")
    numbers: dict[str, Any] = {field: entry.time(key, "0s") for key, field in _COSTS.items()}
    numbers["flow_bps"] = entry.rate("per_flow", "inf")
    numbers |= _of_packets(entry)
    numbers["efficiency"] = _part(entry, "efficiency")
    if entry.has("contention"):
        numbers["contention"] = entry.number("contention", above=-1)
    numbers["half_duplex"], numbers["pcie"] = _DUPLEX[duplex], entry.flag("pcie")
    entry.finish()
    with entry.at():
        return [
            Link(name, (start, end), rate_bps, **numbers)
            for name, start, end in zip(names, starts, ends, strict=True)
        ]


def _switch(entry: Fields) -> Switch:
    with entry.at():
        switch = Switch(entry.text("name"), entry.rate("rate"), entry.time("latency", "0s"))
    entry.finish()
    return switch


def _route(entry: Fields) -> ByHand:
    route = ByHand(entry.text("from"), entry.text("to"), tuple(entry.texts("links")))
    entry.finish()
    return route


_READERS: dict[str, Callable[[Fields, str], Topology]] = dict(
    zip(_KINDS, (_links, _medium, _islands, _graph), strict=True)
)


def _collectives(entry: Fields) -> Selection:
    with entry.at():
        chosen = selection(entry.text("algorithms", RING.name))
        table = entry.table("efficiency")
        with table.at():
            chosen = with_efficiency(chosen, {kind: _part(table, kind) for kind in table.left()})
        entry.finish()
    return chosen


def _part(entry: Fields, key: str) -> float:
    """Of a rate; of next to nothing of it, times would be no numbers any more."""
    return entry.number(key, 1.0, above=1e-6, at_most=1)


def _source(value: Any, fields: Fields) -> Mapping[str, Any]:
    """Free text and numbers, kept to be shown."""
    if not isinstance(value, Mapping):
        raise InputError(f"{fields.where}: source is {value!r}, expected a table: [source]")
    return {str(key): _plain(part) for key, part in value.items()}


def _plain(value: Any) -> Any:
    """What JSON can hold; other things, such as dates, as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if number else str(value)
