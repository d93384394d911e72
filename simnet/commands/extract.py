"""`thinwire extract`: what a model's own program would compute and send, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Flag, Json
from simnet.commands.output import print_json, print_table
from simnet.costs import CostModel, Free, Roofline
from simnet.devices import device as preset_device
from traces.errors import InputError
from traces.store import create
from traces.units import format_bytes, format_s

if TYPE_CHECKING:
    from simnet.extract.subject import Subject
    from simnet.extract.volume import Volume
    from traces.trace import Trace


def extract(
    program: str | None = None,
    *,
    model: str | None = None,
    ranks: int | None = None,
    parallel: str | None = None,
    steps: int | None = None,
    dtype: str | None = None,
    gpu: Annotated[str | None, Parameter(alias="--device")] = None,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Flag = False,
    json: Json = False,
) -> None:
    """Find what a model's own program would compute and send, in seconds and without a GPU.

    The program runs on tensors without data, as each rank of a group that carries nothing. One
    forward is extracted, and stands for every step of the trace.

    ```
    thinwire extract --model flux --parallel ulysses=8 --gpu l20 --out T
    thinwire replay T --network ethernet-10g
    thinwire extract --model wan2.1-14b --ranks 8 --parallel ring=2,ulysses=4
    thinwire extract my_module.py:make_model --ranks 4
    ```

    Parameters
    ----------
    program
        FILE.py:FUNCTION; the function returns a module and its inputs, and finds torch.distributed
        set up.
    model
        Instead: a transformer of diffusers by the name of its preset, or the beginning of one,
        such as flux, sd3, pixart, wan; parameters as in `flux:width=2048:height=2048`.
    ranks
        Number of ranks; with --model, as many as --parallel has.
    parallel
        With --model, diffusers' context parallelism: ulysses=8, ring=8 or ring=2,ulysses=4.
    steps
        Forwards of the trace; by default as many as the model's publishers use, or 1.
    dtype
        With --model: bfloat16 (default), float16 or float32.
    gpu
        Compute times by a roofline of this GPU (`thinwire list devices`); otherwise they are 0.
    out
        Folder to write the trace to.
    overwrite
        Replace a trace that is already there.
    json
        Print the volumes as JSON.
    """
    from simnet.extract.recording import recording
    from simnet.extract.team import forwards
    from simnet.extract.volume import volumes

    cost: CostModel = Free() if gpu is None else Roofline(preset_device(gpu))
    subject, ranks = _subject(program, model, ranks, parallel, dtype)
    steps = subject.steps if steps is None else steps
    if steps < 1 or ranks < 1:
        raise InputError(f"there are {ranks} ranks and {steps} steps, expected 1 or more of each")
    parts = forwards(subject, ranks)
    trace = recording(subject, parts, cost, steps)
    if out is not None:
        create(out, trace.run, overwrite=overwrite)
        trace.save(out, overwrite=True)
    _report(trace, volumes(parts), as_json=json)


def _subject(
    program: str | None,
    model: str | None,
    ranks: int | None,
    parallel: str | None,
    dtype: str | None,
) -> tuple[Subject, int]:
    """What to extract, and as how many ranks."""
    from simnet.extract.public import ALONE, DiffusersModel, Parallel
    from simnet.extract.script import Script

    if (program is None) == (model is None):
        raise InputError("extract what? give --model NAME, or FILE.py:FUNCTION, and not both")
    if program is not None:
        if parallel is not None or dtype is not None:
            raise InputError(
                f"{program} shares its work itself; --parallel and --dtype go with --model"
            )
        return Script(program), 1 if ranks is None else ranks
    assert model is not None
    shared = Parallel.parse(parallel) if parallel is not None else ALONE
    if ranks not in (None, shared.ranks):
        raise InputError(
            f"--ranks is {ranks}, but {f'--parallel {parallel}' if parallel else 'one forward'} is "
            f"for {shared.ranks}; give for example --parallel ulysses={ranks}"
        )
    return DiffusersModel(model, shared, dtype or "bfloat16"), shared.ranks


def _report(trace: Trace, volumes: Sequence[Volume], *, as_json: bool) -> None:
    run = trace.run
    compute_s = float(trace.ops["cost_s"].sum()) / run.ranks
    if as_json:
        about: dict[str, Any] = {
            "model": run.model,
            "schedule": run.schedule,
            "steps": run.steps,
            "device": run.device,
            "evidence": run.evidence,
            "compute_s": compute_s,
            "forward": [volume.to_json() for volume in volumes],
        }
        print_json(about)
        return
    title = f"{run.model}, {run.schedule}, {run.ranks} ranks: one forward (predicted)"
    columns = ("rank", "kind", "among", "calls", "payload", "on the wire")
    print_table(title, columns, list(_rows(volumes)))
    for name, volume in _each(volumes):
        print(f"{name}: {volume.flop / 1e12:.4g} TFLOP of matrix products a forward")
    often = "once" if run.steps == 1 else f"{run.steps} times"
    if not compute_s:
        print(f"the trace has this forward {often}; its computes take no time, as without --gpu")
    else:
        print(f"the trace has this forward {often}, with computes of {run.device}")
        print(f"compute of a rank in all of it: {format_s(compute_s)}, by its roofline")


def _each(volumes: Sequence[Volume]) -> list[tuple[str, Volume]]:
    """Ranks with the same volume stand together."""
    if len(set(volumes)) == 1 and len(volumes) > 1:
        return [("each rank", volumes[0])]
    return [(f"rank {rank}", volume) for rank, volume in enumerate(volumes)]


def _rows(volumes: Sequence[Volume]) -> list[tuple[object, ...]]:
    return [
        (
            name.removeprefix("rank ").removesuffix(" rank"),
            sent.kind,
            f"{sent.members} ranks",
            sent.calls,
            format_bytes(sent.bytes),
            format_bytes(sent.wire_bytes),
        )
        for name, volume in _each(volumes)
        for sent in volume.sent
    ]
