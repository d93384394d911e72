"""How busy each communicator, or each link of a predicted network, is while a run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.ticker import EngFormatter, MaxNLocator

from figures import heatmap, panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each line or link and bin of time: the share of the bin in which an exchange was under
#: way on the line, or of what the link could have carried. `time_s` is the middle of the bin.
COLUMNS = ("subject", "evidence", "of", "name", "time_s", "busy")

_MOST = 24  # rows: the busiest
_AXIS = {"line": "share of time in use", "link": "share of capacity in use"}


def table(trace: Trace) -> pd.DataFrame:
    """Of links where the run was predicted on a known network, else of communicators.

    In `analysis.utilisation`'s numbers; at most the 24 busiest, in the order of their names. Raises
    InputError where transfers were free, for then nothing is known of any line, and where nothing
    was sent.
    """
    if trace.run.evidence == "measured compute":
        raise InputError("transfers were free in this run: replay it on a network")
    dim, found = _busy(trace)
    mean = found.mean("time").fillna(-1)
    busiest = sorted(found[dim].to_numpy()[mean.argsort(kind="stable").to_numpy()[::-1]][:_MOST])
    rows = found.sel({dim: busiest}).rename("busy").to_dataframe().reset_index()
    rows = rows.rename(columns={dim: "name", "time": "time_s"}).assign(of=dim)
    return panels.described(rows, panels.about(trace), trace.run.evidence)[list(COLUMNS)]


def _busy(trace: Trace) -> tuple[str, xr.DataArray]:
    from analysis.utilisation import lines_busy, links_busy

    if trace.run.evidence == "predicted":
        try:
            return "link", links_busy(trace)["utilisation"]
        except InputError:  # of a network file, or one without limits: its lines are known
            pass
    return "line", lines_busy(trace)["busy"]


def draw(table: pd.DataFrame) -> Figure:
    """Lines or links downwards, time to the right. Raises InputError for a table of others."""
    panels.check(table, COLUMNS, "utilisation")
    of = str(table["of"].iloc[0])
    grid = table.pivot_table("busy", "name", "time_s", dropna=False, sort=True)
    half_s = float(grid.columns[0])
    with style.look():
        fig = style.figure(1.25 + 0.17 * max(6, len(grid)))
        ax = fig.subplots()
        image = heatmap.heatmap(ax, grid.to_numpy(float), Normalize(0.0, 1.0))
        image.set_extent((0.0, float(grid.columns[-1]) + half_s, len(grid) - 0.5, -0.5))
        ax.set_yticks(range(len(grid)), [str(name) for name in grid.index])
        ax.xaxis.set_major_locator(MaxNLocator(8))
        ax.xaxis.set_major_formatter(EngFormatter(unit="s"))
        ax.set_xlabel("time")
        ax.set_ylabel("link, direction" if of == "link" else "communicator")
        panels.head(ax, "", str(table["evidence"].iloc[0]))
        panels.headline(fig, table)
        heatmap.colour_bar(fig, image, [ax], _AXIS[of])
        if heatmap.gaps_in(grid.to_numpy(float)):
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig
