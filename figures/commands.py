"""The subcommands of `thinwire` that draw."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from simnet.commands.options import Json, NetworkChoice
from simnet.commands.output import print_json, print_table, step_progress
from traces.errors import InputError
from traces.units import format_s

if TYPE_CHECKING:
    import pandas as pd

figure = App("figure", help_format="markdown", help="Draw timelines, or latency against bandwidth.")
Traces = Annotated[list[Path], Parameter(negative="")]
Out = Annotated[Path, Parameter(alias="-o")]
_NONE = NetworkChoice()


@figure.command
def timeline(
    traces: Traces,
    *,
    out: Out,
    choice: NetworkChoice = _NONE,
    first: Annotated[int | None, Parameter(name="--first-step")] = None,
    last: Annotated[int | None, Parameter(name="--last-step")] = None,
) -> None:
    """Draw what every rank and its network did, traces under each other on one axis.

    ```
    thinwire figure timeline T U --out timelines.png
    thinwire figure timeline T --network ethernet-100m --out measured-and-predicted.svg
    ```

    Parameters
    ----------
    traces
        Traces: folders that `thinwire run` made.
    out
        File to write, .png, .svg or .pdf.
    first
        The first step to draw; by default a few in the middle.
    last
        The last step to draw.
    """
    from figures import style
    from figures import timeline as drawn
    from simnet.drivers.replay import replay
    from traces.trace import Trace

    opened = [(path.name, Trace.open(path)) for path in traces]
    if choice != _NONE:
        links = choice.links()
        opened = list(
            chain.from_iterable(
                [(name, trace), (f"{name} replayed", replay(trace, links))]
                for name, trace in opened
            )
        )
    if (first is None) != (last is None):
        raise InputError("give both --first-step and --last-step, or neither")
    steps = None if first is None or last is None else range(first, last + 1)
    style.save(drawn.draw([t for _, t in opened], [name for name, _ in opened], steps), out)
    print(out)


@figure.command
def bandwidth(
    traces: Traces, *, out: Out, latency: str = "50us", networks: str = "ethernet-1g,pcie-4"
) -> None:
    """Draw latency against bandwidth: recordings, and their replays at rates from slow to fast.

    ```
    thinwire figure bandwidth T U --out bandwidth.png
    ```

    The recording is drawn at the rate its network achieved. The table behind the figure is
    written beside it as .csv.

    Parameters
    ----------
    traces
        Traces: folders that `thinwire run` made.
    out
        File to write, .png, .svg or .pdf.
    latency
        Of the links.
    networks
        Presets to mark, separated by commas.
    """
    from analysis.sweep import sweep
    from figures import bandwidth as drawn
    from figures import style
    from simnet.network.presets import network
    from traces.trace import Trace
    from traces.units import parse_time

    presets = [network(name) for name in networks.split(",") if name]
    points = drawn.table(sweep(map(Trace.open, traces), presets, parse_time(latency)))
    style.save(drawn.draw(points), out)
    points.to_csv(out.with_suffix(".csv"), index=False)
    print(out, out.with_suffix(".csv"), sep="\n")


def demo(*, out: Out = Path("out/demo"), json: Json = False) -> None:
    """Run ring attention and DistriFusion on 4 real processes, and replay them on slow networks.

    ```
    thinwire demo --out demo
    ```

    Writes two traces, a table and three figures.

    Parameters
    ----------
    out
        Folder to write to; what an earlier demonstration left there is replaced.
    json
        Print the table as JSON.
    """
    from figures import demo as parts

    out.mkdir(parents=True, exist_ok=True)
    traces = []
    for schedule in parts.SCHEDULES:
        with step_progress(f"{schedule.name} on {parts.JOB.ranks} processes", parts.JOB.steps) as o:
            traces.append(parts.record(schedule, out, o))
    table = parts.table(traces)
    table.to_csv(out / "table.csv", index=False)
    for name, save in parts.figures(traces):
        save(out / name)
    if json:
        print_json(table.to_dict(orient="records"))
        return
    _print_demo(table)
    for path in sorted(path for path in out.iterdir() if path.is_file()):
        print(path)


def _print_demo(table: pd.DataFrame) -> None:
    """Networks down, schedules across: total time, and how much of it was waiting."""
    first, second = table["schedule"].unique()
    by_network = table.set_index(["network", "schedule"])
    rows = []
    for network in table["network"].unique():
        one, other = by_network.loc[(network, first)], by_network.loc[(network, second)]
        ratio = f"{one['total_s'] / other['total_s']:.2f}"
        rows.append((network, one["evidence"], *_cells(one), *_cells(other), ratio))
    names = (first.partition(":")[0], second.partition(":")[0])
    columns = ("network", "", names[0], "waiting", names[1], "waiting", "speedup")
    print_table("latency, and the share of it spent waiting for the network", columns, rows)


def _cells(row: pd.Series[Any]) -> tuple[str, str]:
    return format_s(row["total_s"]), f"{row['exposed_s'] / row['total_s']:.0%}"
