"""Latency against bandwidth: where the network stops mattering, schedule by schedule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullFormatter, NullLocator

from figures import panels, style
from traces.errors import InputError, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLUMNS = ("schedule", "rate_bps", "total_s", "compute_s", "evidence", "network")

#: What the key says of evidence that needs more than its name.
_LABELS = {"measured": "measured, at the rate it achieved"}

_BEYOND = 3.0  # an infinite rate is drawn this many times beyond the largest finite one
_MARKERS = 24  # along a line; more would hide it
_CROSSES = 6  # more labels would hide the lines
_CROSS_APART = 0.14  # of the axis: rates nearer than this would overlap
_CROSS: dict[str, Any] = {
    "linestyle": "", "marker": "x", "color": "black", "markersize": 5, "markeredgewidth": 1.2,
}  # fmt: skip
_APART = 0.05  # of the axis: labels nearer than this would overlap


def table(points: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Points with the columns of COLUMNS, schedules in the order given and rates rising in each.

    `evidence` is predicted, measured or published; `network` a name or empty; `rate_bps` may be
    infinite. Raises InputError for a missing column, no points, an unknown evidence, and for a
    rate or time that is not above zero.
    """
    frame = points if isinstance(points, pd.DataFrame) else pd.DataFrame(list(points))
    if frame.empty:
        raise InputError("latency against bandwidth: there are no points to draw")
    for name in COLUMNS:
        if name not in frame:
            raise InputError(
                f"latency against bandwidth: column {name!r} is missing; "
                f"expected {', '.join(COLUMNS)}"
            )
    for evidence in frame["evidence"].unique():
        if evidence not in style.MARKS:
            raise unknown("evidence", str(evidence), style.MARKS)
    for name in ("rate_bps", "total_s", "compute_s"):
        wrong = frame[~(frame[name] > 0)]
        if len(wrong):
            raise InputError(
                f"latency against bandwidth: {name} of schedule {wrong['schedule'].iloc[0]!r} is "
                f"{wrong[name].iloc[0]}, expected more than 0"
            )
    order = {schedule: place for place, schedule in enumerate(dict.fromkeys(frame["schedule"]))}
    ordered = frame.assign(place=frame["schedule"].map(order)).sort_values(
        ["place", "evidence", "rate_bps"], kind="stable"
    )
    return ordered[list(COLUMNS)].reset_index(drop=True)


def break_even(table: pd.DataFrame) -> pd.DataFrame:
    """Where the lines of two schedules cross: first, second, rate_bps, total_s.

    Between the rates that both were predicted at, on straight lines of the drawn (logarithmic)
    axes; below the rate, `first` takes longer. Networks with a name have latencies of their own,
    and are left out where there is anything else.
    """
    lines = _lines(table)
    pairs = combinations(lines, 2)
    rows = [row for one, other in pairs for row in _crossings(lines[one], lines[other])]
    return pd.DataFrame(rows, columns=["first", "second", "rate_bps", "total_s"])


def _lines(table: pd.DataFrame) -> dict[str, pd.Series[float]]:
    """Logarithms of latency by rate, of each schedule that is predicted at two rates or more."""
    some = table[(table["evidence"] == "predicted") & np.isfinite(table["rate_bps"])]
    swept = some[some["network"].fillna("") == ""]
    lines = {
        str(name): np.log(rows.groupby("rate_bps")["total_s"].min()).rename(name)
        for name, rows in (swept if len(swept) else some).groupby("schedule", sort=False)
    }
    return {name: line for name, line in lines.items() if len(line) > 1}


def _crossings(one: pd.Series[float], other: pd.Series[float]) -> Iterator[dict[str, Any]]:
    both = pd.concat([one, other], axis=1, join="inner").sort_index()
    x, (y, z) = np.log(both.index.to_numpy(float)), both.to_numpy().T
    ahead = y - z
    for place in np.flatnonzero(ahead[:-1] * ahead[1:] < 0):
        share = ahead[place] / (ahead[place] - ahead[place + 1])
        names = [str(one.name), str(other.name)]
        slower, faster = names if ahead[place] > 0 else names[::-1]
        yield {
            "first": slower,
            "second": faster,
            "rate_bps": float(np.exp(x[place] + share * (x[place + 1] - x[place]))),
            "total_s": float(np.exp(y[place] + share * (y[place + 1] - y[place]))),
        }


def draw(table: pd.DataFrame) -> Figure:
    """Predictions as lines, measured and published points on top; both axes logarithmic.

    Named networks are ticks on top, the time that computing alone takes is the dashed line. A
    cross is where two schedules break even, with the rate at which they do. Raises InputError for
    a table of something else.
    """
    panels.check(table, COLUMNS, "latency against bandwidth")
    finite = table["rate_bps"][np.isfinite(table["rate_bps"])]
    infinity = _BEYOND * (finite.max() if len(finite) else 1.0)
    at = table.assign(x=table["rate_bps"].clip(upper=infinity))
    colours = style.colours(table["schedule"].tolist())
    with style.look():
        fig = style.figure(3.9)
        ax = fig.subplots()
        _axes(ax, at, has_infinity=len(finite) < len(table))
        _compute_alone(ax, table["compute_s"])
        for (schedule, evidence), points in at.groupby(["schedule", "evidence"], sort=False):
            _series(ax, points, colours[str(schedule)], str(evidence))
        crossings = break_even(table)
        _break_even(ax, crossings)
        _names(ax, at, colours)
        _networks(ax, at)
        evidences = [evidence for evidence in style.MARKS if evidence in set(table["evidence"])]
        _key(fig, evidences, crosses=len(crossings) > 0)
    return fig


def _axes(ax: Axes, at: pd.DataFrame, *, has_infinity: bool) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(at["x"].min() / 1.3, at["x"].max() * 1.3)
    lowest, highest = min(at["total_s"].min(), at["compute_s"].min()), at["total_s"].max()
    margin = max(1.2, (highest / lowest) ** 0.08)
    ax.set_ylim(lowest / margin, highest * margin)
    ax.set_xlabel("rate of each rank's link")
    ax.set_ylabel("latency of the run")
    ticks = _decades(*ax.get_xlim())
    if has_infinity:
        infinity = at["x"].max()
        ticks = np.append(ticks[ticks < infinity / 2], infinity)
    rate = EngFormatter(unit="bit/s")
    ax.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
    ax.set_xticklabels(
        ["∞" if has_infinity and tick == ticks[-1] else rate(float(tick)) for tick in ticks]
    )
    ax.xaxis.set_minor_locator(NullLocator())
    within_two_decades = highest / lowest < 100
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if within_two_decades else (1.0,)))
    ax.yaxis.set_major_formatter(EngFormatter(unit="s"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _decades(low: float, high: float) -> NDArray[np.float64]:
    exponents = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    return np.asarray(10.0**exponents if len(exponents) else [np.sqrt(low * high)])


def _compute_alone(ax: Axes, compute_s: pd.Series[float]) -> None:
    """A line at the least, and a band up to the most where schedules differ in it."""
    ax.axhspan(compute_s.min(), compute_s.max(), color=style.GREY, alpha=0.12, linewidth=0)
    ax.axhline(compute_s.min(), color=style.GREY, linestyle="--", linewidth=1)
    ax.annotate(
        "compute alone",
        (0.01, compute_s.min()),
        xycoords=("axes fraction", "data"),
        xytext=(0, -3),
        textcoords="offset points",
        va="top",
        color=style.GREY,
        fontsize=style.SMALL_PT,
    )


def _series(ax: Axes, points: pd.DataFrame, colour: str, evidence: str) -> None:
    """Named networks have latencies of their own: beside a line of other rates they stand alone."""
    named = points["network"].fillna("") != ""
    alone = named if 0 < named.sum() < len(points) - 1 else named & False
    looks: dict[str, Any] = {"color": colour, "zorder": 3 if evidence == "predicted" else 4}
    looks |= _looks(evidence, colour)
    swept = points[~alone]
    every = max(1, len(swept) // _MARKERS)
    ax.plot(swept["x"], swept["total_s"], markevery=every, **looks)
    if alone.any():
        ax.plot(points["x"][alone], points["total_s"][alone], **looks | {"linestyle": ""})


def _break_even(ax: Axes, crossings: pd.DataFrame) -> None:
    """A cross each; with its rate, where they are few and apart."""
    ax.plot(crossings["rate_bps"], crossings["total_s"], **_CROSS, zorder=5)
    if len(crossings) > _CROSSES:
        return
    rate = EngFormatter(unit="bit/s", sep="\u202f")
    low, high = np.log(ax.get_xlim())
    taken: list[float] = []
    for x, y in crossings.sort_values("rate_bps")[["rate_bps", "total_s"]].itertuples(index=False):
        place = (np.log(x) - low) / (high - low)
        if any(abs(place - other) < _CROSS_APART for other in taken):
            continue
        taken.append(place)
        ax.annotate(
            rate(float(f"{x:.2g}")),
            (x, y),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=style.SMALL_PT,
            color="black",
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=6,
        )


def _looks(evidence: str, colour: str) -> dict[str, Any]:
    """A prediction is a line with small marks; everything else is points."""
    mark = style.MARKS[evidence]
    line = evidence == "predicted"
    return {
        "linestyle": "-" if line else "",
        "marker": mark.marker,
        "markersize": 3.0 if line else 5.5,
        "markerfacecolor": colour if mark.filled else "white",
        "markeredgecolor": "white" if mark.filled else colour,
        "markeredgewidth": 0.7,
    }


def _names(ax: Axes, at: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Each schedule's name beside its last point, moved apart where they would overlap."""
    last = at.sort_values("x", kind="stable").groupby("schedule").last().sort_values("total_s")
    low, high = np.log(ax.get_ylim())
    heights = (np.log(last["total_s"].to_numpy()) - low) / (high - low)
    # A schedule's parameters, "name:parameter=1", go under its name: long labels cost width.
    texts = [str(schedule).replace(":", "\n").replace(",", "\n") for schedule in last.index]
    apart = _APART * max(text.count("\n") + 1 for text in texts)
    for schedule, text, x, y, height in zip(
        last.index, texts, last["x"], last["total_s"], spread(heights, apart), strict=True
    ):
        ax.annotate(
            text,
            (x, y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=style.SMALL_PT + 0.5,
            linespacing=1.0,
            color=colours[str(schedule)],
            arrowprops={"arrowstyle": "-", "color": colours[str(schedule)], "linewidth": 0.5},
        )


def spread(places: Sequence[float] | NDArray[np.float64], apart: float) -> NDArray[np.float64]:
    """Rising places moved as little as need be until neighbours are `apart`; the mean stays.

    Places that crowd together are set around their common mean.
    """
    steps = apart * np.arange(len(places))
    # Without the steps, "apart or more" is "not falling": pool adjacent violators.
    pools: list[tuple[float, int]] = []
    for place in np.asarray(places) - steps:
        mean, count = float(place), 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        pools.append((mean, count))
    moved: NDArray[np.float64] = np.concatenate([np.full(n, mean) for mean, n in pools]) + steps
    return moved


def _networks(ax: Axes, at: pd.DataFrame) -> None:
    """A tick on top for each named network; those too near each other share a label."""
    named = at[(at["network"].fillna("") != "") & np.isfinite(at["rate_bps"])]
    names = named.sort_values("x").groupby("network", sort=False)["x"].first()
    low, high = np.log(ax.get_xlim())
    groups: list[tuple[float, list[str]]] = []
    for name, x in names.items():
        ax.axvline(x, color="black", alpha=0.08, linewidth=0.8, zorder=0)
        place = (np.log(x) - low) / (high - low)
        if groups and place - groups[-1][0] < _APART / 2:
            groups[-1][1].append(str(name))
        else:
            groups.append((place, [str(name)]))
    for place, together in groups:
        ax.annotate(
            ", ".join(together),
            (place, 1.0),
            xycoords="axes fraction",
            xytext=(0, 3),
            textcoords="offset points",
            rotation=35,
            ha="left",
            va="bottom",
            rotation_mode="anchor",
            fontsize=style.SMALL_PT,
            color=style.GREY,
        )


def _key(fig: Figure, evidences: Sequence[str], *, crosses: bool) -> None:
    """What is measured and what is not, in grey because it holds for every colour."""
    handles = [
        Line2D(
            [],
            [],
            label=_LABELS.get(evidence, evidence),
            color=style.GREY,
            **_looks(evidence, style.GREY),
        )
        for evidence in evidences
    ]
    if crosses:
        handles.append(Line2D([], [], label="break-even", **_CROSS))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
