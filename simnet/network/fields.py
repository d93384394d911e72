"""Reads the tables of a network file: what is missing, misspelt or without its unit is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from traces.errors import InputError, unknown
from traces.units import parse_rate, parse_time


class Fields:
    """One table of a file. Take what is expected, then `finish`, which refuses what is left.

    `where` begins every complaint: the file and the table. A method's `default` is what a missing
    key means; without one a missing key is refused. All raise InputError.
    """

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, Mapping):
            raise InputError(f"{where}: is {table!r}, expected a table of keys and values")
        self.where = where
        self._left = dict(table)
        self._known: set[str] = set()

    @contextmanager
    def at(self) -> Iterator[None]:
        """Says where, of what turns out to be wrong meanwhile with the table as a whole."""
        try:
            yield
        except InputError as error:
            if str(error).startswith(self.where):
                raise
            raise InputError(f"{self.where}: {error}") from error

    def has(self, key: str) -> bool:
        """Whether the table has this key."""
        self._known.add(key)
        return key in self._left

    def left(self) -> list[str]:
        """The keys that nobody took yet."""
        return list(self._left)

    def take(self, key: str, default: Any = None) -> Any:
        """The value as it stands."""
        self._known.add(key)
        if key not in self._left and default is None:
            raise InputError(f"{self.where}: the key {key!r} is missing; add it")
        return self._left.pop(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty."""
        value = self.take(key, default)
        if not isinstance(value, str) or not value:
            raise InputError(f"{self.where}: {key} is {value!r}, expected text")
        return value

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        """A list of texts; a text by itself is a list of one."""
        value = self.take(key, default)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
            raise InputError(f"{self.where}: {key} is {value!r}, expected a text or a list of them")
        return values

    def rate(self, key: str, default: str | None = None) -> float:
        """Bit/s, from a text with its unit, as units.parse_rate takes it."""
        return self._quantity(key, default, parse_rate, "1Gbit/s")

    def time(self, key: str, default: str | None = None) -> float:
        """Seconds, from a text with its unit; 0 or more."""
        return self._quantity(key, default, parse_time, "50us")

    def number(
        self,
        key: str,
        default: float | None = None,
        *,
        above: float = -math.inf,
        at_most: float = math.inf,
    ) -> float:
        """A finite number in (above, at_most]."""
        value = self.take(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise InputError(f"{self.where}: {key} is {value!r}, expected a number")
        size = _as_float(value)
        if not (math.isfinite(size) and above < size <= at_most):
            bounds = f"more than {above:g}" + (
                f", {at_most:g} or less" if at_most < math.inf else ""
            )
            shown = value if math.isfinite(size) else size
            raise InputError(f"{self.where}: {key} is {shown}, expected {bounds}, and finite")
        return value

    def flag(self, key: str) -> bool:
        """True or false; false where there is no key."""
        value = self.take(key, default=False)
        if not isinstance(value, bool):
            raise InputError(f"{self.where}: {key} is {value!r}, expected true or false")
        return value

    def table(self, key: str) -> Fields:
        """A table of its own."""
        return Fields(self.take(key, {}), f"{self.where}: {key}")

    def count(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number."""
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(
                f"{self.where}: {key} is {value!r}, expected a whole number from {least} up"
            )
        return value

    def tables(self, key: str) -> list[Fields]:
        """The tables of an array, each with its number in `where`; none where there is no key."""
        entries = self.take(key, [])
        if not isinstance(entries, list):
            raise InputError(f"{self.where}: {key} is one table; write [[{key}]], as for several")
        return [Fields(entry, f"{self.where}: {key}[{n}]") for n, entry in enumerate(entries)]

    def finish(self) -> None:
        """Refuse what nobody took."""
        for key in self._left:
            raise InputError(f"{self.where}: {unknown('key', key, self._known)}")

    def _quantity(
        self, key: str, default: str | None, parse: Callable[[str], float], example: str
    ) -> float:
        value = self.take(key, default)
        if not isinstance(value, str):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            lacks = ", without a unit" if number and math.isfinite(value) else ""
            raise InputError(
                f"{self.where}: {key} is {value!r}{lacks}; write a number with its unit, as text: "
                f'"{example}"'
            )
        try:
            return parse(value)
        except InputError as error:
            raise InputError(f"{self.where}: {key}: {error}") from error


def _as_float(value: float) -> float:
    """TOML's integers may be of any length."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
