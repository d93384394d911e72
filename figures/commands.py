"""The subcommands of `thinwire` that draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from simnet.commands.options import Json, NetworkChoice, comma_separated
from simnet.commands.output import (
    open_common,
    print_json,
    print_table,
    step_progress,
    with_progress,
)
from traces.errors import InputError
from traces.trace import Trace
from traces.units import format_s

if TYPE_CHECKING:
    import pandas as pd

    from simnet.network.topology import Links

_HELP = """Draw timelines, latency against bandwidth, or what codecs lose over the steps.

```
thinwire figure timeline T --network ethernet-100m --out timeline.png
thinwire figure bandwidth T U --out bandwidth.png
thinwire figure codec-error --out codec-error.png
```
"""

figure = App("figure", help_format="markdown", help=_HELP)
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

    With a network each trace has its replay below it. Of an incomplete trace, the steps that all
    ranks completed are drawn.

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

    if (first is None) != (last is None):
        raise InputError("give both --first-step and --last-step, or neither")
    steps = None if first is None or last is None else range(first, last + 1)
    recorded = opened(traces)
    panels = recorded if choice == _NONE else dict(_with_replays(recorded, choice))
    style.save(drawn.draw(drawn.tables(panels, steps)), out)
    print(out)


def opened(paths: Sequence[Path]) -> dict[str, Trace]:
    """By the names that `figures.page.subject.labels` gives them."""
    from figures.page.subject import labels

    return {label: open_common(path) for label, path in labels(paths).items()}


def _with_replays(
    traces: Mapping[str, Trace], choice: NetworkChoice
) -> Iterator[tuple[str, Trace]]:
    from simnet.drivers.replay import replay
    from simnet.network.conditions.named import Named
    from simnet.network.conditions.under import Under

    for name, trace in traces.items():
        network = choice.network_for(trace)
        if isinstance(network, Named) and network.conditions:
            network = Under(network, network.conditions, trace.run.ranks)
        yield name, trace
        with step_progress(f"replaying {name} on {network.name}", trace.run.steps) as observer:
            yield f"{name} replayed", replay(trace, network, observer)


@figure.command
def bandwidth(
    traces: Traces, *, out: Out, latency: str = "50us", networks: str = "ethernet-1g,pcie-4"
) -> None:
    """Draw latency against bandwidth: recordings, and their replays at rates from slow to fast.

    ```
    thinwire figure bandwidth T U --out bandwidth.png
    ```

    A run over a real network is a point too, at the rate that it achieved. Of an incomplete trace,
    the steps that all ranks completed are replayed. The table behind the figure is written beside
    it as .csv.

    Parameters
    ----------
    traces
        Traces: folders that `thinwire run` made.
    out
        File to write, .png, .svg or .pdf.
    latency
        Of the links.
    networks
        Presets or network files to mark, separated by commas: those with a link for each rank.
    """
    from analysis.sweep import rates
    from figures import bandwidth as drawn
    from figures import style
    from simnet.network.files import find
    from simnet.network.presets import only_links
    from traces.units import parse_time

    marked = [only_links(find(name)) for name in comma_separated(networks)]
    over = [*rates(parse_time(latency)), *marked]
    points = drawn.table(_points(_by_schedule(opened(traces)), over))
    style.save(drawn.draw(points), out)
    points.to_csv(out.with_suffix(".csv"), index=False)
    print(out, out.with_suffix(".csv"), sep="\n")


def _by_schedule(traces: Mapping[str, Trace]) -> dict[str, Trace]:
    """What lines are called: the schedule, with the trace's name where several have the same."""
    schedules = Counter(trace.run.schedule for trace in traces.values())
    return {
        trace.run.schedule
        if schedules[trace.run.schedule] == 1
        else f"{trace.run.schedule} ({name})": trace
        for name, trace in traces.items()
    }


def _points(traces: Mapping[str, Trace], links: Sequence[Links]) -> Iterator[dict[str, Any]]:
    from analysis.sweep import count, sweep

    return with_progress("replaying", sweep(traces, links), count(traces, links))


@figure.command
def codec_error(
    *,
    out: Out,
    codecs: str = "residual-1bit,residual-2bit",
    steps: int = 28,
    residual_ratio: float = 0.14,
) -> None:
    """Draw how far a receiver is off after each step, with and without error feedback.

    ```
    thinwire figure codec-error --codecs residual-1bit,residual-sparse --out codec-error.png
    ```

    Simulated: the codecs are real, the activations are seeded Gaussian numbers. Lines are the
    closed form. The table behind the figure is written beside it as .csv.

    Parameters
    ----------
    out
        File to write, .png, .svg or .pdf.
    codecs
        Residuals of order 1 (`thinwire list codecs`), separated by commas.
    steps
        How many, the first of which is sent raw; 28 are FLUX.1-dev's.
    residual_ratio
        The deviation of an activation's change over its own; .14 in the middle of FLUX.1-dev's run.
    """
    from analysis.codec_error import table
    from figures import codec_error as drawn
    from figures import style

    points = table(comma_separated(codecs), steps, residual_ratio)
    style.save(drawn.draw(points), out)
    points.to_csv(out.with_suffix(".csv"), index=False)
    print(out, out.with_suffix(".csv"), sep="\n")


@figure.command
def predicted(lab: Path, *, out: Out) -> None:
    """Draw runs of `thinwire validate lab` as predicted against as measured.

    ```
    thinwire validate lab --out lab
    thinwire figure predicted lab --out predicted.png
    ```

    Parameters
    ----------
    lab
        The folder of the lab's table, or the table itself: a Parquet file.
    out
        File to write, .png, .svg or .pdf.
    """
    import pandas as pd

    from figures import predicted as drawn
    from figures import style

    path = lab / "lab.parquet" if lab.is_dir() else lab
    if not path.is_file():
        raise InputError(f"{path}: there is no table; `thinwire validate lab --out` writes one")
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a Parquet file, but {error}") from error
    style.save(drawn.draw(drawn.table(rows)), out)
    print(out)


def show_network(
    network: str,
    *,
    ranks: int | None = None,
    route: str | None = None,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Json = False,
) -> None:
    """Draw a network, and print its links and the routes between ranks.

    ```
    thinwire show-network 8x4090-pcie
    thinwire show-network 8x4090-pcie --route 0,5 --out machine.svg
    ```

    Parameters
    ----------
    network
        A network preset (`thinwire list networks`), or a network file: NAME.toml or a path.
    ranks
        How many ranks to show; by default as many as have a place, or a few.
    route
        Two ranks, such as 0,5: what a message from one to the other crosses.
    out
        File to draw the network to, .png, .svg or .pdf.
    json
        Print it as JSON: plain numbers, with their unit at the end of the key.
    """
    from simnet.commands.show_network import Shown
    from simnet.network.files import find

    shown = Shown(find(network), ranks, route)
    if out is not None:
        from figures import network as drawn
        from figures import style

        style.save(drawn.draw(drawn.table(shown.graph, shown.ranks)), out)
    if json:
        print_json(shown.to_json())
        return
    shown.print()
    if out is not None:
        print(out)


def demo(*, out: Out = Path("out/demo"), json: Json = False) -> None:
    """Run ring attention and DistriFusion on 4 real processes, and replay them on slow networks.

    ```
    thinwire demo --out demo
    ```

    Writes two traces, a table and three figures, and binds what there is to say of the traces into
    report.html.

    Parameters
    ----------
    out
        Folder to write to; what an earlier demonstration left there is replaced.
    json
        Print the table as JSON.
    """
    import pandas as pd

    from figures import bandwidth as drawn
    from figures import demo as parts
    from figures import report, style
    from figures.page.subject import subject

    out.mkdir(parents=True, exist_ok=True)
    traces: dict[str, Trace] = {}
    for schedule in parts.SCHEDULES:
        with step_progress(f"{schedule.name} on {parts.JOB.ranks} processes", parts.JOB.steps) as o:
            traces[schedule.name] = parts.record(schedule, out, o)
    rows = parts.rows(list(traces.values()))
    table = pd.DataFrame(with_progress("replaying", rows, len(traces) * parts.ROWS))
    table.to_csv(out / "table.csv", index=False)
    for name, trace in traces.items():
        style.save(parts.timelines(trace), out / f"timeline-{name}.png")
    points = drawn.table(_points(_by_schedule(traces), parts.LINKS))
    style.save(drawn.draw(points), out / "latency-against-bandwidth.png")
    page = out / "report.html"
    report.write({name: subject(name, trace, trace) for name, trace in traces.items()}, page)
    if json:
        print_json(table.to_dict(orient="records"))
        return
    _print_demo(table)
    print(parts.caution())
    for path in sorted(path for path in out.iterdir() if path.is_file() and path != page):
        print(path)
    print(f"{page}: open it in a browser")


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
