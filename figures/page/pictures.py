"""Figures as addresses that hold them, so that a page needs no other file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from figures import style
from figures.page.grid import Grid, grid

if TYPE_CHECKING:
    from figures.catalogue import Made

#: A drawing with many marks is smaller, and drawn faster, as pixels.
MOST_SVG_BYTES = 200_000
#: Of all figures of a page together, with their numbers.
MOST_BYTES = 5_500_000
_CELL_BYTES = 80  # of a table, in HTML
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with all that stands beside it."""

    key: str
    title: str
    sentence: str
    evidence: str
    alternative: str  # for those who do not see it
    address: str
    width: int  # in CSS pixels, as in print
    height: int
    numbers: Grid
    command: str

    @property
    def nbytes(self) -> int:
        """What it adds to a page, about."""
        cells = len(self.numbers.rows) * len(self.numbers.columns)
        return len(self.address) + len(self.numbers.csv) + _CELL_BYTES * cells


def picture(made: Made) -> Picture:
    """The figure as SVG where that is small, else as PNG."""
    width_in, height_in = made.figure.get_size_inches()
    return Picture(
        key=made.name,
        title=made.title,
        sentence=made.sentence,
        evidence=made.kind,
        alternative=f"{made.title} ({made.kind}). {made.sentence} The table below has the numbers.",
        address=_address(made),
        width=round(96 * width_in),
        height=round(96 * height_in),
        numbers=grid(
            f"{made.name}-numbers", f"Numbers of: {made.title}", "What is drawn.", made.table
        ),
        command=made.command,
    )


def _address(made: Made) -> str:
    drawn = _saved(made, ".svg")
    if len(drawn) <= MOST_SVG_BYTES:
        return _data(".svg", drawn)
    return _data(".png", _saved(made, ".png"))


def _saved(made: Made, suffix: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"figure{suffix}"
        style.save(made.figure, path)
        return path.read_bytes()


def _data(suffix: str, data: bytes) -> str:
    return f"data:{_TYPES[suffix]};base64,{base64.b64encode(data).decode()}"
