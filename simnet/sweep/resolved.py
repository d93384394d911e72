"""Writes a sweep's file as it was understood: with all axes, and with the files that it names."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simnet.network.writing import rate_text, time_text
from simnet.sweep.axes import Axis, Joined, Processor, Range, Sweep
from simnet.sweep.reading import NO_CODEC
from traces.files import replacing, writing

#: The folder beside the file for networks and profiles.
INPUTS = "inputs"


def save(sweep: Sweep, path: Path) -> None:
    """From this file `reading.read` gets the same sweep, wherever its folder is taken.

    Raises InputError or RunError where it cannot be written.
    """
    _copy_inputs(sweep, path.parent / INPUTS)
    with replacing(path) as temporary:
        temporary.write_text(dump(sweep), encoding="utf-8")


def dump(sweep: Sweep) -> str:
    """The file's text."""
    lines = ["[sweep]", f"name = {_text(sweep.name)}", f"sample = {_text(sweep.sample)}"]
    if sweep.drawn is not None:
        lines += [f"points = {sweep.drawn}", f"seed = {sweep.seed}"]
    lines += ["", "[axes]"]
    lines += [f"{axis.key} = {value}" for axis in sweep.axes.values() for value in _axis(axis)]
    return "\n".join(lines) + "\n"


def _axis(axis: Axis) -> Iterator[str]:
    """Its value in the file; nothing for one that the file has to leave out."""
    if axis.span is not None:
        yield _range(axis.span, axis.column)
    elif not _unset(axis):
        yield "[" + ", ".join(_value(value, axis, n) for n, value in enumerate(axis)) + "]"


def _unset(axis: Axis) -> bool:
    (first, *others) = axis.values
    if others:
        return False
    if isinstance(first, Joined):
        return first.path is None and math.isinf(getattr(first.topology, "rate_bps", 0.0))
    return (first is None and axis.key != "codecs") or (
        isinstance(first, float) and math.isnan(first)
    )


def _range(span: Range, column: str) -> str:
    text = rate_text if column.endswith("_bps") else time_text
    ends = f'from = "{text(span.low)}", to = "{text(span.high)}"'
    points = "" if span.points is None else f", points = {span.points}"
    return f'{{ {ends}{points}, scale = "{"log" if span.log else "linear"}" }}'


def _value(value: Any, axis: Axis, number: int) -> str:
    if isinstance(value, Processor | Joined):
        return _text(value.name if value.path is None else f"{INPUTS}/{_name(value.path, number)}")
    if value is None:
        return _text(NO_CODEC)
    if isinstance(value, float):
        return _text(rate_text(value) if axis.column.endswith("_bps") else time_text(value))
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    """As TOML writes it; JSON's escapes are TOML's too."""
    return json.dumps(value)


def _name(path: Path, number: int) -> str:
    """Two files of one name in different folders stay two."""
    return f"{number}-{path.name}"


def _copy_inputs(sweep: Sweep, folder: Path) -> None:
    for key in ("gpus", "networks"):
        for number, value in enumerate(sweep.axes[key]):
            if value.path is None:
                continue
            target = folder / _name(value.path, number)
            with writing(target):
                folder.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if value.path.is_dir() else shutil.copyfile
                if value.path.resolve() != target.resolve():
                    copy(value.path, target)
