"""`thinwire profile`: what each computation costs, by measuring, to predict other runs by."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from simnet.commands.options import Flag, Json, comma_separated, use_threads
from simnet.commands.output import open_trace, print_json, print_table, with_progress
from simnet.costs import MeasuredCosts
from traces.errors import InputError
from traces.units import format_s

if TYPE_CHECKING:
    from simnet.profiling.session import Plan, Session


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Whose calls to measure, and on what."""

    model: str | None = None
    """Instead of a trace: measure the calls of this model preset, with random weights."""
    schedules: str = "ring"
    """With --model: schedules, separated by commas."""
    ranks: str = "1,2,4"
    """With --model: numbers of ranks, separated by commas."""
    codecs: str = ""
    """With --model: codecs, separated by commas; each schedule also as it is."""
    dtype: str | None = None
    """With --model: by default float32 on a CPU, bfloat16 on a GPU."""
    batch: int = 1
    """With --model: images denoised together."""
    steps: int = 8
    """With --model: as many steps are looked at for calls; none is run."""
    repeats: int = 20
    """With --model: how often a call is timed; fewer times if it takes long."""
    device: Literal["cpu", "cuda"] | None = None
    """With --model: what to measure on; by default a GPU where there is one."""
    threads: int | None = None
    """With --model: of the processor, for torch; by default all."""
    name: str | None = None
    """With --model: what to call the device; by default by its own name."""


_NOTHING = Measuring()


def profile(
    trace: Annotated[Path | None, Parameter(help="A recorded trace, instead of --model.")] = None,
    measuring: Measuring = _NOTHING,
    *,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Flag = False,
    json: Json = False,
) -> None:
    """Measure how long each call takes: median, spread and count of each callable and shape.

    Of a recorded trace, or of a model's calls one by one with random weights: a block at a time,
    so that FLUX.1-dev's fit on a GPU of 24 GB. What --out holds already of such calls is kept, so
    that what was interrupted goes on.

    ```
    thinwire profile --model flux.1-dev --schedules ring,ulysses --ranks 1,2,4,8 --out my-gpu.json
    thinwire profile --model dit-tiny --codecs residual-1bit --device cpu --out my-cpu.json
    thinwire predict --costs my-cpu.json --dtype float32 --network ethernet-10g
    thinwire profile T --out my-gpu.json
    ```

    Parameters
    ----------
    out
        File to write the costs to, as JSON.
    overwrite
        With --model: measure what --out holds anew.
    json
        Print the costs as JSON.
    """
    if (trace is None) == (measuring.model is None):
        raise InputError("costs of what? give a TRACE or --model NAME, and not both")
    if trace is not None:
        if measuring != _NOTHING:
            raise InputError(f"{trace} is what it is: other options go with --model")
        costs = MeasuredCosts.from_trace(open_trace(trace))
        if out is not None:
            costs.save(out)
    else:
        costs = _measured(measuring, out, overwrite=overwrite)
    _report(costs, as_json=json)


def _measured(measuring: Measuring, out: Path | None, *, overwrite: bool) -> MeasuredCosts:
    import torch

    from simnet.profiling.session import Session, named_device, provenance

    use_threads(measuring.threads)
    device = _device(measuring.device)
    plan = _plan(measuring, device)
    name = measuring.name or named_device(device, torch.get_num_threads())
    session = Session.begin(name, provenance(_command(measuring)), out, anew=overwrite)
    wanted = plan.wanted(lambda reason: print(f"left out: {reason}", file=sys.stderr))
    missing = session.missing(wanted)
    costs = session.measure(missing, device, measuring.repeats)
    try:
        for _ in with_progress(f"measuring on {name}", costs, len(missing)):
            pass
    except KeyboardInterrupt:
        _say_what_is_kept(session, len(wanted), len(session.missing(wanted)))
        raise
    return MeasuredCosts(name, session.costs.values())


def _say_what_is_kept(session: Session, wanted: int, missing: int) -> None:
    if session.path is not None:
        print(
            f"{session.path} has {wanted - missing} of {wanted} calls; the same command measures "
            "the rest",
            file=sys.stderr,
        )


def _plan(measuring: Measuring, device: str) -> Plan:
    from simnet.job import Job
    from simnet.profiling.session import Plan

    if measuring.repeats < 3:
        raise InputError(f"--repeats is {measuring.repeats}, expected 3 or more, for a median")
    assert measuring.model is not None
    schedules = comma_separated(measuring.schedules)
    codecs = comma_separated(measuring.codecs)
    ranks = comma_separated(measuring.ranks)
    if not schedules or not ranks or not all(map(str.isdecimal, ranks)):
        raise InputError(
            f"--schedules is {measuring.schedules!r} and --ranks {measuring.ranks!r}; expected "
            "such as ring,ulysses and 1,2,4"
        )
    coded = [f"{name}/{codec}" for name in schedules for codec in codecs if "/" not in name]
    dtype = measuring.dtype or ("bfloat16" if device == "cuda" else "float32")
    job = Job(
        measuring.model,
        steps=measuring.steps,
        dtype=dtype,
        device=device,
        images=measuring.batch,
    )
    return Plan([*schedules, *coded], tuple(map(int, ranks)), job)


def _device(asked: str | None) -> str:
    import torch

    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise InputError("--device cuda: torch finds no GPU here; take --device cpu")
    return asked or ("cuda" if there else "cpu")


def _command(measuring: Measuring) -> str:
    """What was asked for, as it may be asked for again."""
    given = {
        name: value
        for name, value in vars(measuring).items()
        if value is not None and value != getattr(_NOTHING, name)
    }
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return shlex.join(["thinwire", "profile", *options])


def _report(costs: MeasuredCosts, *, as_json: bool) -> None:
    records: list[dict[Any, Any]] = costs.table().to_dict(orient="records")
    if as_json:
        print_json(records)
        return
    rows = [
        (
            " ".join(filter(None, (r["kind"], r["name"]))),
            r["shape"],
            format_s(r["median_s"]),
            format_s(r["spread_s"]),
            r["count"],
        )
        for r in records
    ]
    print_table(costs.name, ("callable", "arguments", "median", "spread", "count"), rows)
