"""`thinwire graph`: what a schedule does, without any times; and what two do differently."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Flag, GpuWorkload, Json
from simnet.commands.output import print_json, print_table
from traces.errors import InputError
from traces.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd

    from simnet.lowering.graph import Graph

_DEFAULT = GpuWorkload()
_MOST_ROWS = 40


def graph(
    *files: Path,
    workload: GpuWorkload = _DEFAULT,
    gpu: Flag = False,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Json = False,
) -> None:
    """Lower a schedule to its operation graph and sum it up; show a saved one; compare two.

    ```
    thinwire graph --model flux.1-dev --schedule ring --codec residual-1bit --out ring.graph
    thinwire graph ring.graph
    thinwire graph ring.graph ulysses.graph
    ```

    Parameters
    ----------
    files
        One graph to show, or two to compare; none: lower what the other options describe.
    gpu
        As it runs on a GPU, where a codec's steps are fused into few kernels.
    out
        File to write the graph to, of what is lowered.
    json
        Print tables as JSON.
    """
    from simnet.lowering.store import load, save

    if len(files) > 2:
        raise InputError(f"{len(files)} graphs; expected none, one or two")
    if files and out is not None:
        raise InputError("--out is for a graph that is lowered; leave it, or the files, out")
    if len(files) == 2:
        _compare(load(files[0]), load(files[1]), as_json=json)
        return
    shown = load(files[0]) if files else _lowered(workload, gpu=gpu)
    if out is not None:
        save(shown, out)
    _show(shown, as_json=json)


def _lowered(workload: GpuWorkload, *, gpu: bool) -> Graph:
    from simnet.lowering.lower import lower
    from simnet.schedules.named import on_gpu

    schedule = workload.chosen_schedule()
    return lower(on_gpu(schedule) if gpu else schedule, workload.job())


def _show(shown: Graph, *, as_json: bool) -> None:
    from dataclasses import asdict

    from simnet.lowering.tables import by_step, summary

    whole, steps = summary(shown), by_step(shown)
    if as_json:
        facts = asdict(shown.origin) | {"operations": len(shown), "calls": len(shown.calls)}
        print_json(facts | {"ranks_do": _records(whole), "steps_have": _records(steps)})
        return
    print(_line(shown))
    print(
        f"{len(shown)} operations, {len(shown.calls)} distinct calls, "
        f"{len(shown.exchanges)} exchanges"
    )
    _print("what each rank does", whole)
    _print("steps", steps)


def _compare(one: Graph, other: Graph, *, as_json: bool) -> None:
    from simnet.lowering.tables import difference, first_unlike

    unlike = difference(one, other)
    first = first_unlike(one, other) if one.ranks == other.ranks else None
    if as_json:
        order = None if first is None else _records(first)
        print_json({"differences": _records(unlike), "first_unlike": order})
        return
    print(f"a: {_line(one)}\nb: {_line(other)}")
    if unlike.empty and first is not None and first.empty:
        print("the same operations in the same order")
        return
    if unlike.empty:
        print("the same operations in another order")
    else:
        _print("numbers of operations, and bytes, that differ", unlike)
    if first is not None:
        _print("where each rank first does something else", first)


def _line(shown: Graph) -> str:
    origin = shown.origin
    return (
        f"{origin.schedule} of {origin.model} ({origin.dtype}), {origin.ranks} ranks, "
        f"{origin.steps} steps"
    )


def _print(title: str, table: pd.DataFrame) -> None:
    """As many rows as one likes to read."""
    shown = table.head(_MOST_ROWS)
    rows = [
        [_text(name, value) for name, value in zip(table.columns, row, strict=True)]
        for row in shown.itertuples(index=False)
    ]
    print_table(title, [str(name).replace("_", " ") for name in table.columns], rows)
    if len(table) > _MOST_ROWS:
        print(f"and {len(table) - _MOST_ROWS} rows more; --json has all")


def _text(name: str, value: Any) -> str:
    return format_bytes(int(value)) if name.startswith("bytes") else str(value)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
