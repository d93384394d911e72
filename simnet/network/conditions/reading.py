"""Reads conditions from the tables of a file, such as [jitter] and [[outage]]."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from simnet.network.conditions.conditions import (
    Background,
    Conditions,
    Degradation,
    Jitter,
    Straggler,
)
from simnet.network.conditions.spells import ALWAYS, Once, Recurring, Spells
from simnet.network.fields import Fields
from traces.errors import InputError

Item = TypeVar("Item")

TABLES = ("[jitter]", "[[straggler]]", "[[background]]", "[[degradation]]", "[[outage]]")


def read(fields: Fields) -> Conditions | None:
    """Take the tables that describe conditions; None where there are none.

    Raises InputError with the file, the table and the key at fault.
    """
    jitter = _jitter(fields)
    stragglers = _each(fields, "straggler", _straggler)
    background = _each(fields, "background", _background)
    degradations = _each(fields, "degradation", _degradation)
    degradations += _each(fields, "outage", _outage)
    if not (jitter or stragglers or background or degradations):
        return None
    with fields.at():
        return Conditions(jitter or Jitter(), stragglers, background, degradations)


def open_conditions(path: Path) -> Conditions:
    """A file of conditions only; raises InputError for one without any, or with anything else."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML: {error}") from error
    fields = Fields(content, str(path))
    conditions = read(fields)
    fields.finish()
    if conditions is None:
        raise InputError(f"{path}: has no conditions; expected any of {', '.join(TABLES)}")
    return conditions


def _each(fields: Fields, key: str, read_one: Callable[[Fields], Item]) -> tuple[Item, ...]:
    items = []
    for entry in fields.tables(key):
        with entry.at():
            items.append(read_one(entry))
            entry.finish()
    return tuple(items)


def _jitter(fields: Fields) -> Jitter | None:
    if not fields.has("jitter"):
        return None
    entry = Fields(fields.take("jitter"), f"{fields.where}: jitter")
    with entry.at():
        mean_s = entry.time("latency", "0s")
        variation = entry.number("variation", 1.0, above=0)
        jitter = Jitter(mean_s, variation, entry.number("compute", 0.0))
        entry.finish()
    return jitter


def _straggler(entry: Fields) -> Straggler:
    rank = entry.count("rank", least=0)
    return Straggler(rank, entry.number("slowdown", above=0), where=entry.where)


def _background(entry: Fields) -> Background:
    ranks = None
    if entry.has("src") or entry.has("dst"):
        ranks = entry.count("src", least=0), entry.count("dst", least=0)
    hops = tuple(entry.texts("hops", []))
    paced = entry.flag("paced")
    return Background(entry.rate("rate"), hops, ranks, _spells(entry), paced, where=entry.where)


def _degradation(entry: Fields) -> Degradation:
    hops = tuple(entry.texts("hops"))
    factor = entry.number("factor", above=0, at_most=1)
    return Degradation(hops, factor, _spells(entry), where=entry.where)


def _outage(entry: Fields) -> Degradation:
    return Degradation(tuple(entry.texts("hops")), 0.0, _spells(entry), where=entry.where)


def _spells(entry: Fields) -> Spells:
    """From `from` and `to`, or from the means `lasts` and `apart`; without any, all the time."""
    once = [key for key in ("from", "to") if entry.has(key)]
    recurring = [key for key in ("lasts", "apart") if entry.has(key)]
    if once and recurring:
        raise InputError(f"has {once[0]} and {recurring[0]}; give from and to, or lasts and apart")
    if recurring:
        return Recurring(entry.time("lasts"), entry.time("apart"))
    if not once:
        return ALWAYS
    from_s = entry.time("from", "0s")
    return Once(from_s, entry.time("to")) if entry.has("to") else Once(from_s)
