"""Everything that is told of some traces, bound into one page."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from figures.comparable import check_same_work
from figures.page import pictures, tables
from figures.page.lanes import lanes, shares
from figures.page.render import render
from traces.errors import InputError
from traces.units import format_s

if TYPE_CHECKING:
    import pandas as pd

    from figures.catalogue import Made, Skipped
    from figures.page.subject import Subject

Subjects = Mapping[str, "Subject"]

#: What a page may hold: more is slow to open, and too large for a mail.
MOST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run took, in a sentence."""

    name: str
    evidence: str
    text: str


def page(subjects: Subjects, figures: Iterable[Made | Skipped], command: Sequence[str]) -> bytes:
    """The page of these traces and figures; `command` is what made it. The same, the same bytes.

    Raises InputError for runs of different work, and for more than fits.
    """
    check_same_work({name: (one.trace.run, one.steps) for name, one in subjects.items()})
    totals = tables.totals(subjects)
    room = shares([len(subject.trace.ops) for subject in subjects.values()])
    data = [
        _timeline(name, subject, most)
        for (name, subject), most in zip(subjects.items(), room, strict=True)
    ]
    first, *others = tables.grids(subjects)
    shown, left_out = _pictures(figures)
    parts = {
        "title": _title(subjects),
        "subtitle": _subtitle(totals, subjects),
        "names": list(subjects),
        "findings": list(_findings(totals)),
        "problems": [(name, text) for name, each in subjects.items() for text in each.problems],
        "description": tables.description(subjects),
        "totals": first,
        "grids": others,
        "pictures": shown,
        "skipped": left_out,
        "commands": list(_commands(subjects, command)),
        "parts": _PARTS if shown or left_out else [part for part in _PARTS if part[0] != "figures"],
        "made_by": f"Made by thinwire {metadata.version('thinwire')}",
    }
    made = render(parts, data)
    if len(made) > MOST_BYTES:
        raise InputError(
            f"the page would be {len(made) / 1e6:.1f} MB, expected {MOST_BYTES / 1e6:.0f} MB or "
            "less; give fewer traces"
        )
    return made


_PARTS = [
    ("runs", "Runs"),
    ("timeline", "Timeline"),
    ("figures", "Figures"),
    ("tables", "Tables"),
    ("again", "Make it again"),
]


def _timeline(name: str, subject: Subject, most: int) -> dict[str, Any]:
    drawn = lanes(subject.trace, most)
    return {"name": name, "evidence": subject.trace.run.evidence, **drawn}


def _title(subjects: Subjects) -> str:
    model = next(iter(subjects.values())).trace.run.model
    return (
        f"{model}: {', '.join(subjects)}"
        if len(subjects) < 5
        else f"{len(subjects)} runs of {model}"
    )


def _subtitle(totals: pd.DataFrame, subjects: Subjects) -> str:
    first = next(iter(subjects.values()))
    run = first.trace.run
    images = "1 image" if run.images == 1 else f"{run.images} images"
    ranks = " or ".join(map(str, dict.fromkeys(totals["world"])))
    evidence = " and ".join(dict.fromkeys(totals["evidence"]))
    return f"{images}, {first.steps} steps, {ranks} ranks; times are {evidence}."


def _findings(totals: pd.DataFrame) -> Iterator[Finding]:
    first = totals.iloc[0]
    for _, row in totals.iterrows():
        text = f"takes {format_s(row['total_s'])}, {row['exposed_s'] / row['total_s']:.0%} of it "
        text += f"waiting for the network ({row['schedule']} on {row['network']})"
        if row["trace"] != first["trace"] and row["speedup"] > 0:
            text += f"; {row['speedup']:.2f} times as fast as {first['trace']}"
            text += _but([row["evidence"], row["device"]], [first["evidence"], first["device"]])
        yield Finding(row["trace"], row["evidence"], text + ".")


def _but(own: Sequence[str], others: Sequence[str]) -> str:
    """What makes a comparison less than fair."""
    different = [
        f"{one} against {other}" for one, other in zip(own, others, strict=True) if one != other
    ]
    return f" ({', '.join(different)})" if different else ""


def _pictures(
    figures: Iterable[Made | Skipped],
) -> tuple[list[pictures.Picture], list[tuple[str, str]]]:
    """Those that there is room for, and the titles of others with why they are not there."""
    from figures.catalogue import Skipped

    shown: list[pictures.Picture] = []
    left_out: list[tuple[str, str]] = []
    room = pictures.MOST_BYTES
    for figure in figures:
        if isinstance(figure, Skipped):
            left_out.append((figure.title, figure.why))
            continue
        drawn = pictures.picture(figure)
        if drawn.nbytes > room:
            left_out.append((drawn.title, f"no room on this page; {drawn.command} draws it"))
            continue
        room -= drawn.nbytes
        shown.append(drawn)
    return shown, left_out


def _commands(subjects: Subjects, command: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is done, and the command that does it."""
    yield "This page", shlex.join(command)
    folders = [str(subject.trace.folder or "TRACE") for subject in subjects.values()]
    yield (
        "All figures, with the tables behind them",
        shlex.join(["thinwire", "figures", *folders, "--out", "figures"]),
    )
    yield (
        "All analyses",
        "\n".join(
            shlex.join(["thinwire", "analyse", folder, "--out", f"{folder}-analysed"])
            for folder in folders
        ),
    )
    for about, words in (
        ("Totals and ranks", ["show", "--json"]),
        ("Layers", ["show", "--by", "layer"]),
        ("Steps", ["show", "--by", "step"]),
    ):
        yield about, "\n".join(shlex.join(["thinwire", words[0], f, *words[1:]]) for f in folders)
    yield (
        "Every operation, for Perfetto",
        "\n".join(
            shlex.join(["thinwire", "export", folder, f"{folder}.json.gz"]) for folder in folders
        ),
    )
