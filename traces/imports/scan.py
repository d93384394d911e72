"""Reads a JSON file that is larger than memory: one element of its long list at a time.

Bounded whatever the file holds: at most MOST_BYTES of text are read (of a compressed file, after
unpacking), no element is longer than MOST_ELEMENT, and no more than a few of them are in memory.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import reprlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from traces.errors import TraceError

MOST_BYTES = 4 * 10**9
MOST_ELEMENT = 8 * 2**20
_CHUNK = 2**20
_GZIP = b"\x1f\x8b"
_SPACE = re.compile(r"[ \t\r\n]+")


class JsonFile:
    """A JSON object in a file, plain or gzip; `header` has its members but for the long list."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: dict[str, Any] = {}

    def elements(self, name: str) -> Iterator[Any]:
        """Each element of the list that is the member `name`, in order.

        `header` is complete when they have all been read. Raises TraceError naming the file and
        the element where it is no such JSON, torn, or beyond the bounds.
        """
        with opened(self.path) as file:
            text = _Text(self.path, file)
            text.expect("{", "a JSON object")
            found = False
            while text.peek() != "}":
                key = text.value("the name of a member")
                text.expect(":", f"':' after {reprlib.repr(key)}")
                if key == name and found:
                    raise TraceError(f"{self.path}: has {name!r} twice")
                if key == name:
                    found = True
                    yield from _list(text, name)
                else:
                    self.header[str(key)] = text.value(f"the value of {reprlib.repr(key)}")
                if text.peek() != "}":
                    text.expect(",", "',' or '}' after a member")
            if not found:
                raise TraceError(f"{self.path}: there is no list {name!r} in it")


def _list(text: _Text, name: str) -> Iterator[Any]:
    text.expect("[", f"{name!r} to be a list")
    number = 0
    while text.peek() != "]":
        yield text.value(f"element {number} of {name!r}")
        number += 1
        if text.peek() != "]":
            text.expect(",", f"',' or ']' after element {number - 1} of {name!r}")
    text.expect("]", "']'")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where they are gzip; what the system says, as TraceError."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            if packed:
                with gzip.open(raw, "rb") as file:
                    yield cast("IO[bytes]", file)
            else:
                yield raw
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise TraceError(f"{path}: the compressed file is torn or damaged: {error}") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error


class _Text:
    """As much of the file as is needed at a time."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.file = file
        self.text = ""
        self.at = 0
        self.total = 0
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        self.parse = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            if space := _SPACE.match(self.text, self.at):
                self.at = space.end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def expect(self, character: str, what: str) -> None:
        """Step over it."""
        if (found := self.peek()) != character:
            raise self._error(what, "the file ends" if not found else f"there is {found!r}")
        self.at += 1

    def value(self, what: str) -> Any:
        """The next value, parsed."""
        self.peek()
        while True:
            try:
                value, end = self.parse(self.text, self.at)
            except RecursionError as error:
                raise self._error(what, "it is nested too deeply") from error
            except ValueError as error:
                if len(self.text) - self.at > MOST_ELEMENT:
                    raise self._error(what, f"it is no JSON, or too long: {error}") from error
                if not self._more():
                    raise self._error(what, f"it is torn or no JSON: {error}") from error
                continue
            # A number may go on where the text ends.
            if end == len(self.text) and self._more():
                continue
            self.at = end
            return value

    def _more(self) -> bool:
        pending = self.text[self.at :]
        chunk = self.file.read(max(_CHUNK, len(pending)))
        self.total += len(chunk)
        if self.total > MOST_BYTES:
            raise TraceError(
                f"{self.path}: is longer than {MOST_BYTES / 1e9:g} GB (unpacked), the most that is "
                "read; record fewer steps"
            )
        try:
            self.text, self.at = pending + self.decode(chunk, not chunk), 0
        except UnicodeDecodeError as error:
            raise self._error("text in UTF-8", str(error)) from error
        return bool(chunk)

    def _error(self, expected: str, found: str) -> TraceError:
        return TraceError(
            f"{self.path}: byte {self.total - len(self.text) + self.at} or so: expected "
            f"{expected}, but {found}"
        )
