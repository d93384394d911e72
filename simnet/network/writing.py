"""Writes a network as a TOML file that reads back as the same floats."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from simnet.network.collectives.selection import RING
from simnet.network.path import PEAK_BPS
from simnet.network.topology import Links, Medium
from traces.errors import InputError
from traces.files import replacing

_RATES = {9: "Gbit/s", 6: "Mbit/s", 3: "kbit/s", 0: "bit/s"}
_TIMES = {0: "s", -3: "ms", -6: "us", -9: "ns"}


def save_links(network: Links | Medium, path: Path) -> None:
    """Write the file, whole or not at all; raises InputError or RunError as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(dump_links(network), encoding="utf-8")


def dump_links(network: Links | Medium) -> str:
    """The text of a file from which `files.load` gets this network, `source` and all.

    Of `source`, texts, finite numbers, lists and tables of these can be written. Raises InputError
    for anything else in it, and for a network with conditions.
    """
    if network.conditions:
        raise InputError(
            f"network {network.name!r} has conditions ({network.conditions}), which are not "
            "written; save it without them, and add their tables to the file"
        )
    kind = "medium" if isinstance(network, Medium) else "links"
    numbers: dict[str, Any] = {"rate": rate_text(network.rate_bps)}
    times = {
        "latency": network.latency_s,
        "message": network.message_s,
        "ready": network.ready_s,
    }
    numbers |= {key: time_text(time_s) for key, time_s in times.items() if time_s}
    if network.cap_bps < math.inf:
        numbers["per_flow"] = rate_text(network.cap_bps)
    packets = ("acks", "burst_bytes", "queue_bytes")
    numbers |= {key: value for key in packets if (value := getattr(network, key))}
    if network.peak_bps != PEAK_BPS:
        numbers["peak"] = rate_text(network.peak_bps)
    parts = [f"name = {_value(network.name, 'name')}", _table(kind, numbers)]
    if network.collectives != RING:
        parts.append(_table("collectives", {"algorithms": network.collectives.name}))
    if network.source:
        parts.append(_table("source", network.source))
    return "\n\n".join(parts) + "\n"


def rate_text(rate_bps: float) -> str:
    """Such as "24Gbit/s", with all digits."""
    return "inf" if rate_bps == math.inf else _scaled(rate_bps, _RATES)


def time_text(time_s: float) -> str:
    """Such as "5.7us", with all digits."""
    return _scaled(time_s, _TIMES)


def _scaled(value: float, units: Mapping[int, str]) -> str:
    """In decimals, so that nothing is rounded, with the largest unit that is not above it."""
    exact = Decimal(repr(value))
    fitting = [power for power in units if exact.adjusted() >= power] or [min(units)]
    power = max(fitting)
    return f"{exact.scaleb(-power).normalize():f}{units[power]}"


def _table(name: str, values: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    pairs = (f"{_key(key)} = {_value(value, f'{name}.{key}')}" for key, value in plain.items())
    lines = [f"[{name}]", *pairs]
    parts = ["\n".join(lines)]
    for key, value in values.items():
        if isinstance(value, Mapping):
            parts.append(_table(f"{name}.{_key(key)}", value))
    return "\n\n".join(parts)


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _value(key, key)


def _value(value: Any, where: str) -> str:
    """JSON's texts and finite numbers are TOML's too, if no character is written as a pair."""
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(part, where)}" for key, part in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(part, where) for part in value)}]"
    if not isinstance(value, (str, int, float)) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise InputError(
            f"{where} is {value!r}, which cannot be written; expected text, finite numbers, or "
            "lists or tables of these"
        )
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
