"""A network as a drawing: ranks at the bottom, what joins them above, links as wide as fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from figures import style
from figures.bandwidth import spread
from traces.errors import InputError
from traces.units import bits, format_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simnet.network.graph import Graph

COLUMNS = ("link", "start", "end", "start_rank", "end_rank", "payload_bps", "half_duplex")
NOBODY = -1  # the rank at a node where none sits
#: The end of a row that is no link but what a node passes on at most.
ITSELF = ""

_MOST_RANKS = 64  # names of more would not be legible
_WIDE = 10  # more ranks than this have their names written upwards
_FAN = 3  # as many equal links to one node have one label
_STOREY_IN = 0.95  # from one height to the next
_BEND = 0.35  # of a link between ranks, below them
_APART = 1.1  # between nodes beside each other; ranks are 1 apart


class Spot(NamedTuple):
    """Where a node is: ranks are at height 0 and 1 apart."""

    x: float
    height: int


def table(graph: Graph, ranks: int) -> pd.DataFrame:
    """A row for each link that the first `ranks` ranks may use, with the columns of COLUMNS.

    A node that passes on so much at most is a row too, which ends at ITSELF. Raises InputError
    for more ranks than can be drawn.
    """
    if ranks > _MOST_RANKS:
        raise InputError(
            f"network {graph.name!r}: {ranks} ranks are too many to draw; --ranks {_MOST_RANKS} "
            "draws the first ones"
        )
    rank_of = {node: rank for rank, node in enumerate(graph.ranks)}
    rows = []
    for link in graph.links:
        sits = [rank_of.get(end, NOBODY) for end in link.ends]
        if max(sits) < ranks:
            rows.append((link.name, *link.ends, *sits, link.payload_bps, link.half_duplex))
    rows += [
        (switch.name, switch.name, ITSELF, NOBODY, NOBODY, switch.rate_bps, True)
        for switch in graph.switches
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def draw(table: pd.DataFrame) -> Figure:
    """Links' widths grow with the logarithm of their rates; dashed ones are half duplex."""
    links = table[table["end"] != ITSELF]
    limits = table[table["end"] == ITSELF].set_index("start")["payload_bps"].to_dict()
    ranks = _ranks(links)
    spots = _spots(links, ranks)
    top = max(spot.height for spot in spots.values()) + 0.3
    longest = max(map(len, ranks)) if len(ranks) > _WIDE else 4
    bottom = -0.25 - 0.05 * longest
    with style.look():
        fig = style.figure(0.3 + _STOREY_IN * (top - bottom))
        ax = fig.subplots()
        ax.set_axis_off()
        xs = [spot.x for spot in spots.values()]
        ax.set_xlim(min(xs) - 0.75, max(xs) + 0.75)
        ax.set_ylim(bottom, top)
        _groups(ax, links, spots, ranks)
        _links(ax, links, spots)
        for node, spot in spots.items():
            _node(ax, node, spot, ranks, limits)
        _key(fig, links)
    return fig


def _ranks(links: pd.DataFrame) -> dict[str, int]:
    """By node, in order of the ranks."""
    sits = dict(zip(links["start"], links["start_rank"], strict=True))
    sits |= dict(zip(links["end"], links["end_rank"], strict=True))
    return {node: rank for node, rank in sorted(sits.items(), key=_second) if rank != NOBODY}


def _second(pair: tuple[str, int]) -> int:
    return pair[1]


def _neighbours(links: pd.DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for start, end in zip(links["start"], links["end"], strict=True):
        found.setdefault(start, []).append(end)
        found.setdefault(end, []).append(start)
    return found


def _spots(links: pd.DataFrame, ranks: Mapping[str, int]) -> dict[str, Spot]:
    """A node is as high as it is far from a rank, and over the middle of those below it."""
    neighbours = _neighbours(links)
    places = _places(neighbours, ranks)
    spots = {node: Spot(x, 0) for node, x in places.items()}
    layer = list(spots)
    height = 0
    while layer:
        height += 1
        above = dict.fromkeys(
            other for node in layer for other in neighbours[node] if other not in spots
        )
        middles = {
            node: float(np.mean([spots[low].x for low in neighbours[node] if low in layer]))
            for node in above
        }
        layer = sorted(middles, key=lambda node: (middles[node], node))
        if layer:
            apart = spread([middles[node] for node in layer], _APART)
            spots |= {node: Spot(float(x), height) for node, x in zip(layer, apart, strict=True)}
    return spots


def _places(neighbours: Mapping[str, list[str]], ranks: Mapping[str, int]) -> dict[str, float]:
    """Ranks side by side, with a gap where the next one hangs on another node."""
    places: dict[str, float] = {}
    x, last = -1.0, None
    for node in ranks:
        parent = _parent(node, neighbours, ranks)
        x += 1.0 if last in (None, parent) else 1.5
        places[node], last = x, parent
    return places


def _parent(node: str, neighbours: Mapping[str, list[str]], ranks: Mapping[str, int]) -> str:
    return next((other for other in neighbours[node] if other not in ranks), ITSELF)


def _groups(
    ax: Axes, links: pd.DataFrame, spots: Mapping[str, Spot], ranks: Mapping[str, int]
) -> None:
    """A shade behind the ranks of each socket or host, where there are several."""
    neighbours = _neighbours(links)
    groups: dict[str, list[float]] = {}
    for node in ranks:
        groups.setdefault(_parent(node, neighbours, ranks), []).append(spots[node].x)
    if len(groups) < 2:
        return
    low = ax.get_ylim()[0] + 0.12
    for places in groups.values():
        ax.add_patch(
            FancyBboxPatch(
                (min(places) - 0.3, low),
                max(places) - min(places) + 0.6,
                1.2 - low,
                boxstyle="round,pad=0.1",
                facecolor=style.GREY,
                alpha=0.09,
                linewidth=0,
            )
        )


def _links(ax: Axes, links: pd.DataFrame, spots: Mapping[str, Spot]) -> None:
    finite = links["payload_bps"][np.isfinite(links["payload_bps"])]
    slowest = finite.min() if len(finite) else 1.0
    ranks = sum(spot.height == 0 for spot in spots.values())
    widest = max(1.2, min(6.0, 80 / ranks))
    pairs = Counter[frozenset[str]]()
    row: Any
    for row in links.itertuples():
        bend = _BEND / 2 * pairs[frozenset((row.start, row.end))]  # beside one that is there
        pairs[frozenset((row.start, row.end))] += 1
        wide = np.isfinite(row.payload_bps)
        width = 0.9 + 1.4 * float(np.log10(row.payload_bps / slowest)) if wide else 0.9
        left, right = sorted((spots[row.start], spots[row.end]))
        if left.height == right.height == 0:
            bend += _BEND
        ax.annotate(
            "",
            (right.x, right.height),
            (left.x, left.height),
            arrowprops={
                "arrowstyle": "-",
                "linewidth": min(width, widest),
                "linestyle": "--" if row.half_duplex else "-",
                "color": style.ACTIVITIES["compute"] if wide else style.GREY,
                "shrinkA": 0,
                "shrinkB": 0,
                "connectionstyle": f"arc3,rad={bend}",
            },
            zorder=1,
        )
    _rates(ax, links[np.isfinite(links["payload_bps"])], spots)


def _rates(ax: Axes, links: pd.DataFrame, spots: Mapping[str, Spot]) -> None:
    """What each link carries; equal ones that fan out of one node share a label."""
    upper = [
        start if spots[start].height >= spots[end].height else end
        for start, end in zip(links["start"], links["end"], strict=True)
    ]
    lowest = [
        min(spots[start].height, spots[end].height)
        for start, end in zip(links["start"], links["end"], strict=True)
    ]
    fans = links.assign(upper=upper, lowest=lowest)
    for _, fan in fans.groupby(["upper", "lowest", "payload_bps", "half_duplex"], sort=False):
        node = fan["upper"].iloc[0]
        rate = f"{format_bytes(fan['payload_bps'].iloc[0] / bits(1))}/s"
        parallel = len(fan) > 1 and fan["start"].nunique() == fan["end"].nunique() == 1
        if len(fan) >= _FAN or parallel:
            ends = [spots[end] for end in (*fan["start"], *fan["end"]) if end != node]
            x = np.mean([spot.x for spot in ends])
            y = np.mean([spot.height for spot in ends])
            _rate(ax, f"{len(fan)} × {rate}", (float(x), float(y)), spots[node])
            continue
        for start, end in zip(fan["start"], fan["end"], strict=True):
            _rate(ax, rate, spots[start][:2], spots[end])


def _rate(ax: Axes, text: str, one: tuple[float, float], other: Spot) -> None:
    y = (one[1] + other.height) / 2
    if not y:  # between ranks, where the link is bent
        low, high = ax.get_xlim()
        y = -_BEND / 2 * abs(one[0] - other.x) * style.WIDTH_IN / (high - low) / _STOREY_IN
    ax.annotate(
        text,
        ((one[0] + other.x) / 2, y),
        ha="center",
        va="center",
        fontsize=style.SMALL_PT,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "linewidth": 0, "alpha": 0.9},
        zorder=3,
    )


def _node(
    ax: Axes,
    node: str,
    spot: Spot,
    ranks: Mapping[str, int],
    limits: Mapping[Any, float],
) -> None:
    text = node
    if node in limits:
        text += f"\nat most {format_bytes(limits[node] / bits(1))}/s"
    if node in ranks and node != f"rank{ranks[node]}":
        text += f" · {ranks[node]}" if len(ranks) > _WIDE else f"\nrank {ranks[node]}"
    upwards = node in ranks and len(ranks) > _WIDE
    ax.annotate(
        text,
        (spot.x, spot.height + (0.1 if upwards else 0.0)),
        ha="center",
        va="top" if upwards else "center",
        rotation=90 if upwards else 0,
        fontsize=style.SMALL_PT - (1.5 if len(ranks) > 3 * _WIDE else 0.0),
        linespacing=1.1,
        bbox={
            "boxstyle": f"round,pad={0.15 if len(ranks) > 3 * _WIDE else 0.35}",
            "facecolor": "white" if node in ranks else "#e9eef4",
            "edgecolor": style.GREY,
            "linewidth": 0.7,
        },
        zorder=4,
    )


def _key(fig: Figure, links: pd.DataFrame) -> None:
    """Only where there are links of both kinds."""
    if links["half_duplex"].nunique() < 2:
        return
    looks: dict[str, Any] = {"color": style.ACTIVITIES["compute"], "linewidth": 1.6}
    handles = [
        Line2D([], [], linestyle="-", label="so much each way", **looks),
        Line2D([], [], linestyle="--", label="both ways together", **looks),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
