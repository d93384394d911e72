"""Reads a sweep's file: every name and number in it is checked before anything is computed."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simnet.codecs.named import codec as named_codec
from simnet.costs import MeasuredCosts
from simnet.devices import device
from simnet.job import DTYPES
from simnet.models.presets import preset
from simnet.network.conditions.conditions import MOST_JITTER_S
from simnet.network.fields import Fields
from simnet.network.files import find, is_file, load
from simnet.network.graph import Graph
from simnet.network.topology import Links
from simnet.schedules.named import innermost, schedule
from simnet.sweep.axes import (
    CASE_COLUMNS,
    NETWORK_COLUMNS,
    Axis,
    Joined,
    Processor,
    Range,
    Sweep,
)
from simnet.sweep.content import digest
from traces.errors import InputError, unknown
from traces.units import parse_rate, parse_time

SAMPLES = ("grid", "random", "sobol")
#: What stands for no codec in a list of codecs.
NO_CODEC = "none"
_SCALES = {"log": True, "linear": False}
_MOST_RANGE = 10**6
_MOST_SAMPLE = 2**30  # as many as Sobol's sequence has

#: From a value of the file to that of an axis; raises InputError for one that will not do.
Parse = Callable[[Any], Any]


def read(path: Path) -> Sweep:
    """What a file asks for; other files that it names are looked for beside it.

    Raises InputError with the file, the table and the key at fault, and what was expected.
    """
    fields = Fields(_content(path), str(path))
    head, body = fields.table("sweep"), fields.table("axes")
    fields.finish()
    name = head.text("name", path.stem)
    sample = head.text("sample", "grid")
    if sample not in SAMPLES:
        raise InputError(f"{head.where}: {unknown('sample', sample, SAMPLES)}")
    drawn, seed = _drawn(head, sample)
    head.finish()
    axes = _axes(body, path.parent, ranges=sample != "grid")
    with body.at():
        return Sweep(name, sample, seed, axes, drawn)


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; expected a sweep's file (docs/sweeps.md)"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML: {error}") from error


def _drawn(head: Fields, sample: str) -> tuple[int | None, int]:
    """How many points a sample has, and its seed."""
    if sample != "grid":
        points = head.count("points")
        if points > _MOST_SAMPLE:
            raise InputError(f"{head.where}: points is {points}, expected {_MOST_SAMPLE} or fewer")
        return points, head.count("seed", 0, least=0)
    for key in ("points", "seed"):
        if head.has(key):
            raise InputError(
                f"{head.where}: {key} is given, but a grid has no {key}; take it out, or add "
                'sample = "random"'
            )
    return None, 0


def _axes(body: Fields, folder: Path, *, ranges: bool) -> dict[str, Axis]:
    """All of them, in their order; those that the file leaves out have one value."""
    parsers = _parsers(folder)
    for key in ("models", "schedules", "gpus"):
        if not body.has(key):
            raise InputError(f"{body.where}: the key {key!r} is missing; add it")
    axes = {}
    for key, column in (CASE_COLUMNS | NETWORK_COLUMNS).items():
        if body.has(key):
            axes[key] = _axis(body, Axis(key, column, ()), parsers[key], ranges=ranges)
        else:
            axes[key] = Axis(key, column, (_DEFAULTS[key],))
    body.finish()
    _check_networks(body, axes)
    _check_warmups(body, axes)
    return axes


_DEFAULTS: dict[str, Any] = {
    "models": None,
    "schedules": None,
    "codecs": None,
    "warmups": None,
    "ranks": 4,
    "gpus": None,
    "batches": 1,
    "steps": None,
    "dtypes": "bfloat16",
    # Every rank on a link of its own, of the rate and latency that the file gives.
    "networks": Joined("links", Links("links", math.inf)),
    "bandwidths": math.nan,
    "latencies": math.nan,
    "jitters": 0.0,
    "seeds": 0,
}


def _axis(body: Fields, empty: Axis, parse: Parse, *, ranges: bool) -> Axis:
    value = body.take(empty.key)
    where = f"{body.where}: {empty.key}"
    if isinstance(value, dict):
        return _range(Fields(value, where), empty, parse, ranges=ranges)
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise InputError(f"{where} is empty; name at least one, or leave the key out")
    values: list[Any] = []
    for number, each in enumerate(listed):
        place = f"{where}[{number}]" if isinstance(value, list) else where
        try:
            parsed = parse(each)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        if any(_label(parsed) == _label(other) for other in values):
            raise InputError(f"{place}: {each!r} stands there before; leave one out")
        values.append(parsed)
    return Axis(empty.key, empty.column, tuple(values))


def _label(value: Any) -> Any:
    return value.name if isinstance(value, Processor | Joined) else value


def _range(entry: Fields, empty: Axis, parse: Parse, *, ranges: bool) -> Axis:
    if empty.key not in ("bandwidths", "latencies", "jitters"):
        raise InputError(f"{entry.where}: is a range, which only rates and times have; list values")
    ends = []
    for key in ("from", "to"):
        try:
            ends.append(parse(entry.take(key)))
        except InputError as error:
            lead = "" if str(error).startswith(entry.where) else f"{entry.where}: {key}: "
            raise InputError(f"{lead}{error}") from error
    scale = entry.text("scale", "log")
    if scale not in _SCALES:
        raise InputError(f"{entry.where}: {unknown('scale', scale, _SCALES)}")
    points = entry.count("points", least=2) if entry.has("points") or not ranges else None
    if points is not None and points > _MOST_RANGE:
        raise InputError(f"{entry.where}: points is {points}, expected {_MOST_RANGE} or fewer")
    entry.finish()
    with entry.at():
        span = Range(ends[0], ends[1], points, _SCALES[scale])
    if points is None:
        return Axis(empty.key, empty.column, (math.nan,), span)
    return Axis(empty.key, empty.column, span.values(), None if ranges else span)


def _check_networks(body: Fields, axes: dict[str, Axis]) -> None:
    """There must be one, and one with a rate where rates are set."""
    set_here = [key for key in ("bandwidths", "latencies") if axes[key] != _default_axis(key)]
    if axes["networks"] == _default_axis("networks") and "bandwidths" not in set_here:
        raise InputError(
            f"{body.where}: which networks? add networks = [...] (`thinwire list networks`) or "
            'bandwidths = ["1Gbit/s", ...]'
        )
    for number, joined in enumerate(axes["networks"]):
        if set_here and isinstance(joined.topology, Graph):
            raise InputError(
                f"{body.where}: networks[{number}]: {joined.name!r} is a graph of many links, so "
                f"{' and '.join(set_here)} cannot be set; sweep it in a file of its own"
            )


def _check_warmups(body: Fields, axes: dict[str, Axis]) -> None:
    """One that stands in a schedule's name already is not to be set again."""
    for number, text in enumerate(axes["schedules"]):
        if axes["warmups"] != _default_axis("warmups") and "warmup_steps=" in text:
            raise InputError(
                f"{body.where}: schedules[{number}]: {text!r} has warm-up steps, and so has "
                "warmups; leave one out"
            )


def _default_axis(key: str) -> Axis:
    return Axis(key, (CASE_COLUMNS | NETWORK_COLUMNS)[key], (_DEFAULTS[key],))


def has_warmup(text: str) -> bool:
    """Whether a schedule, or the one inside it, has steps at the start that are in step."""
    return hasattr(innermost(schedule(text)), "warmup_steps")


def _parsers(folder: Path) -> dict[str, Parse]:
    return {
        "models": _named(preset),
        "schedules": _schedule,
        "codecs": _codec,
        "warmups": _whole(0),
        "ranks": _whole(1),
        "gpus": lambda value: _processor(_text(value), folder),
        "batches": _whole(1, 1_000_000),
        "steps": _whole(1),
        "dtypes": _dtype,
        "networks": lambda value: _joined(_text(value), folder),
        "bandwidths": _quantity(parse_rate, "1Gbit/s"),
        "latencies": _quantity(parse_time, "50us"),
        "jitters": _jitter,
        "seeds": _whole(0, 2**62),
    }


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"is {value!r}, expected text")
    return value


def _named(find_it: Callable[[str], Any]) -> Parse:
    def parse(value: Any) -> str:
        find_it(_text(value))
        return str(value)

    return parse


def _whole(least: int, most: int = 1_000_000) -> Parse:
    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(f"is {value!r}, expected a whole number from {least} to {most}")
        return value

    return parse


def _quantity(parse_text: Callable[[str], float], example: str) -> Parse:
    def parse(value: Any) -> float:
        if not isinstance(value, str):
            raise InputError(f'is {value!r}; write a number with its unit, as text: "{example}"')
        return parse_text(value)

    return parse


def _jitter(value: Any) -> float:
    mean_s: float = _quantity(parse_time, "200us")(value)
    if mean_s > MOST_JITTER_S:
        raise InputError(f"is {value!r}, expected {MOST_JITTER_S:g}s or less")
    return mean_s


def _schedule(value: Any) -> str:
    text = _text(value)
    if "/" in text:
        raise InputError(f"{text!r} has a codec; list it under codecs")
    schedule(text)
    return text


def _codec(value: Any) -> str | None:
    if _text(value) == NO_CODEC:
        return None
    named_codec(value)
    return str(value)


def _dtype(value: Any) -> str:
    if _text(value) not in DTYPES:
        raise unknown("dtype", value, DTYPES)
    return str(value)


def _processor(text: str, folder: Path) -> Processor:
    """A device by name, or a profile or trace by its path."""
    if not (text.endswith(".json") or os.sep in text):
        found = device(text)
        return Processor(found.name, found.name, found)
    path = folder / text
    costs = MeasuredCosts.open(path)
    content = costs.table().to_csv(index=False, float_format="%r")
    return Processor(text, digest((costs.name, content)), costs=costs, path=path)


def _joined(text: str, folder: Path) -> Joined:
    if not is_file(text):
        return Joined(text, find(text))
    return Joined(text, load(folder / text), folder / text)
