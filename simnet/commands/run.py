"""`thinwire run`: a schedule live, recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from simnet.commands.options import Flag, Json, Workload
from simnet.commands.output import report, step_progress
from traces.summary import summarize
from traces.trace import Trace

_DEFAULT = Workload()


def run(
    workload: Workload = _DEFAULT,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    driver: Literal["distributed", "local"] = "distributed",
    device: Literal["cpu", "cuda"] | None = None,
    keep: str = "",
    overwrite: Flag = False,
    json: Json = False,
) -> None:
    """Run a schedule live on this machine, a process for each rank, and record a trace.

    ```
    thinwire run --model dit-tiny --schedule ring --ranks 4 --out T
    thinwire run --schedule distrifusion:warmup_steps=2 --keep kv,hidden --out T
    torchrun --nnodes 2 --nproc-per-node 4 ... -m simnet run --ranks 8 --out T
    ```

    Under torchrun, every process that it starts becomes a rank; each host writes the parts of its
    own ranks, to be copied into one folder afterwards.

    Parameters
    ----------
    out
        Folder to write the trace to.
    driver
        distributed: a process for each rank, over gloo or NCCL. local: all ranks in turn in this
        process, compute measured, transfers free.
    device
        What to compute on; by default GPUs where there are enough of them.
    keep
        Activations to record, separated by commas: kv and hidden of every layer, latent of every
        step.
    overwrite
        Replace a trace that is already there.
    json
        Print the summary as JSON.
    """
    from simnet.drivers.torchrun import started_by_torchrun

    schedule = workload.chosen_schedule()
    job = workload.job(device or _best_device(1 if driver == "local" else workload.ranks))
    live = _under_torchrun if started_by_torchrun() else _DRIVERS[driver]
    with step_progress(f"{workload.schedule} on {job.ranks} ranks", job.steps) as observer:
        trace = live()(
            schedule,
            job,
            out,
            keep=tuple(filter(None, keep.split(","))),
            observer=observer,
            overwrite=overwrite,
        )
    if trace is not None:
        report(summarize(trace), as_json=json, more={"trace": str(out)})


def _best_device(gpus: int) -> str:
    import torch

    return "cuda" if torch.cuda.device_count() >= gpus else "cpu"


def _distributed() -> Callable[..., Trace]:
    from simnet.drivers.launch import run_distributed

    return run_distributed


def _local() -> Callable[..., Trace]:
    from simnet.drivers.local import run_local

    return run_local


def _under_torchrun() -> Callable[..., Trace | None]:
    from simnet.drivers.torchrun import run_under_torchrun

    return run_under_torchrun


_DRIVERS = {"distributed": _distributed, "local": _local}
