"""Seconds, bytes and bits per second inside; people's spellings of them only here, at the edge."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal

from traces.errors import InputError

GB = 10**9

#: A bit in a quarter of an hour, and thirty years: whatever is beyond is a mistake, and what takes
#: so long is soon no number any more.
LEAST_BPS, MOST_S = 1e-3, 1e9

_NUMBER = re.compile(
    r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?|[-+]?inf|nan)\s*(\S.*?)?\s*", re.IGNORECASE
)
# Decimals, so that "50us" is the float that Python reads in 50e-6.
_TIME = {"s": Decimal(1), "ms": Decimal("1e-3"), "ns": Decimal("1e-9")} | dict.fromkeys(
    ("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s"), Decimal("1e-6")
)
# Bits are lower-case b or "bit", bytes upper-case B: 1 GB/s is 8 Gbit/s.
_PREFIX = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = {f"{p}B": Decimal(f) for p, f in _PREFIX.items()} | {
    "KiB": Decimal(2**10),
    "MiB": Decimal(2**20),
    "GiB": Decimal(2**30),
}
_RATE = {
    **{f"{p}{u}": Decimal(f) for p, f in _PREFIX.items() for u in ("bit/s", "bps", "b/s")},
    **{f"{p}B/s": Decimal(8 * f) for p, f in _PREFIX.items()},
}


def bits(nbytes: float) -> float:
    """Bits in so many bytes; the factor 8 is written here and in the table above, nowhere else."""
    return 8 * nbytes


def parse_rate(text: str) -> float:
    """Bits per second in "25Gbit/s", "100 Mbps", "1.5 GB/s" or "inf".

    Raises InputError for a missing or unknown unit, and for a rate below LEAST_BPS.
    """
    if text.strip().lower() == "inf":
        return math.inf
    rate_bps = _parse(text, _RATE, "rate", "1Gbit/s, 100Mbit/s or 1.5GB/s")
    if rate_bps <= 0:
        raise InputError(f"rate {text!r} must be more than zero")
    if rate_bps < LEAST_BPS:
        raise InputError(f"rate {text!r} must be {LEAST_BPS:g}bit/s or more; is that its unit?")
    return rate_bps


def parse_time(text: str) -> float:
    """Seconds in "50us", "1.5 ms" or "0s".

    Raises InputError for a missing or unknown unit, and for a time below 0 or above MOST_S.
    """
    time_s = _parse(text, _TIME, "time", "50us, 1.5ms or 0s")
    if time_s < 0 or math.isinf(time_s):
        raise InputError(f"time {text!r} must be finite and not negative")
    if time_s > MOST_S:
        raise InputError(f"time {text!r} must be {MOST_S:g}s or less; is that its unit?")
    return time_s


def parse_bytes(text: str) -> float:
    """Bytes in "20GB" (20e9), "512 MB" or "16GiB".

    Raises InputError for a missing or unknown unit, and for a size that is 0 or infinite.
    """
    nbytes = _parse(text, _SIZE, "size", "20GB, 512MB or 16GiB")
    if not 0 < nbytes < math.inf:
        raise InputError(f"size {text!r} must be more than zero, and finite")
    return nbytes


def _parse(text: str, units: Mapping[str, Decimal], what: str, example: str) -> float:
    match = _NUMBER.fullmatch(text)
    try:
        number = Decimal(match[1]) if match else Decimal("nan")
    except ArithmeticError:  # such as "1.2.3"
        number = Decimal("nan")
    if match is None or number.is_nan():
        raise InputError(
            f"{what} {text!r} is not a number with a unit; write for example {example}"
        )
    unit = match[2]
    if unit is None:
        raise InputError(f"{what} {text!r} has no unit; write for example {example}")
    if unit not in units:
        example = " or ".join(u for u in units if u.lower() == unit.lower()) or example
        raise InputError(
            f"{what} {text!r} has an unknown unit {unit!r}; write for example {example}"
        )
    return float(number * units[unit])


def format_s(time_s: float) -> str:
    """Three significant digits and the unit that suits: "3.10 ms"; far from all, "1.00e+30 s"."""
    return _format(time_s, "s", {-12: "p", -9: "n", -6: "µ", -3: "m", 0: ""})


def format_bytes(nbytes: float) -> str:
    """Three significant digits in decimal units: "64.0 GB"; below 1 kB whole bytes: "7 B"."""
    if abs(nbytes) < 1000 and nbytes == int(nbytes):
        return f"{int(nbytes)} B"
    return _format(nbytes, "B", _LARGE)


def format_rate(rate_bps: float) -> str:
    """Three significant digits in decimal bits per second: "9.40 Gbit/s"."""
    return _format(rate_bps, "bit/s", _LARGE)


_LARGE = {0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}


def _format(value: float, unit: str, prefixes: Mapping[int, str]) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{abs(value) if value == 0 else value:g} {unit}"
    rounded = f"{value:.2e}"  # first, so that 999.9 B is 1.00 kB and not 1000 B
    exponent = int(rounded.partition("e")[2])
    power = min(max(exponent // 3 * 3, min(prefixes)), max(prefixes))
    if not -3 <= exponent - power <= 6:  # zeros that nobody counts
        return f"{rounded} {unit}"
    digits = max(0, 2 - (exponent - power))
    return f"{Decimal(rounded).scaleb(-power):.{digits}f} {prefixes[power]}{unit}"
