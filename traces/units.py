"""Seconds, bytes and bits per second inside; people's spellings of them only here, at the edge."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from traces.errors import InputError

GB = 10**9
MIB = 2**20

_NUMBER = re.compile(r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?|[-+]?inf|nan)\s*(\S.*?)?\s*", re.IGNORECASE)
_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
# Bits are lower-case b or "bit", bytes upper-case B: 1 GB/s is 8 Gbit/s.
_PREFIX = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_RATE = {
    **{f"{p}{u}": f for p, f in _PREFIX.items() for u in ("bit/s", "bps", "b/s")},
    **{f"{p}B/s": 8 * f for p, f in _PREFIX.items()},
}


def bits(nbytes: float) -> float:
    """Bits in so many bytes; the factor 8 is written here and in the table above, nowhere else."""
    return 8 * nbytes


def parse_rate(text: str) -> float:
    """Bits per second in "25Gbit/s", "100 Mbps", "1.5 GB/s" or "inf".

    Raises InputError for a missing or unknown unit, and for a rate that is not positive.
    """
    if text.strip().lower() == "inf":
        return math.inf
    rate_bps = _parse(text, _RATE, "rate", "1Gbit/s, 100Mbit/s or 1.5GB/s")
    if rate_bps <= 0:
        raise InputError(f"rate {text!r} must be more than zero")
    return rate_bps


def parse_time(text: str) -> float:
    """Seconds in "50us", "1.5 ms" or "0s".

    Raises InputError for a missing or unknown unit, and for a negative or infinite time.
    """
    time_s = _parse(text, _TIME, "time", "50us, 1.5ms or 0s")
    if time_s < 0 or math.isinf(time_s):
        raise InputError(f"time {text!r} must be finite and not negative")
    return time_s


def _parse(text: str, units: Mapping[str, float], what: str, example: str) -> float:
    match = _NUMBER.fullmatch(text)
    try:
        number = float(match[1]) if match else math.nan
    except ValueError:  # such as "1.2.3"
        number = math.nan
    if match is None or math.isnan(number):
        raise InputError(f"{what} {text!r} is not a number with a unit; write for example {example}")
    unit = match[2]
    if unit is None:
        raise InputError(f"{what} {text!r} has no unit; write for example {example}")
    if unit not in units:
        raise InputError(f"{what} {text!r} has an unknown unit {unit!r}; write for example {example}")
    return number * units[unit]


def format_s(time_s: float) -> str:
    """Three significant digits and the unit that suits: "3.1 ms"."""
    return _format(time_s, "s", (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9)))


def format_bytes(nbytes: float) -> str:
    """Decimal units: "64.0 GB"."""
    return _format(nbytes, "B", (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)))


def format_rate(rate_bps: float) -> str:
    """Decimal bits per second: "9.40 Gbit/s"."""
    return _format(rate_bps, "bit/s", (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)))


def _format(value: float, unit: str, scales: tuple[tuple[str, float], ...]) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    prefix, scale = next((s for s in scales if abs(value) >= s[1] * 0.9995), scales[-1])
    scaled = value / scale
    digits = max(0, 2 - math.floor(math.log10(abs(scaled) * 1.0005))) if abs(scaled) >= 1e-3 else 3
    return f"{scaled:.{min(digits, 2)}f} {prefix}{unit}"
