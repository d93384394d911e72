"""`thinwire run`: a schedule live, recorded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from simnet.commands.options import Flag, Json, Workload, comma_separated
from simnet.commands.output import report, say_what_is_missing, step_progress
from simnet.memory import Memory
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import on_gpu
from traces.errors import InputError
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
        step, and label, what is drawn; with experts elsewhere also chosen, scores, age and outputs
        (each slot's) of every layer, and where they have a capacity dropped, the slots it loses.
    overwrite
        Replace a trace that is already there.
    json
        Print the summary as JSON.
    """
    chosen = workload.chosen_schedule()
    live, gpus = _chosen(driver, workload.ranks)
    job = workload.job(_device(device, gpus))
    schedule = suited(chosen, job.device)
    with step_progress(f"{workload.schedule} on {job.ranks} ranks", job.steps) as observer:
        trace = live(
            schedule, job, out, keep=comma_separated(keep), observer=observer, overwrite=overwrite
        )
    if trace is not None:
        say_what_is_missing(out, trace.problems)
        memory = Memory.of(schedule, replace(job, device="meta"))
        more = {"trace": str(out), "memory": memory.to_json()}
        report(summarize(trace), as_json=json, more=more)
        if not json:
            print(memory)


def _chosen(driver: str, ranks: int) -> tuple[Callable[..., Trace | None], int]:
    """What runs the ranks, and how many GPUs of this host they would take."""
    from simnet.drivers.launch import run_distributed
    from simnet.drivers.local import run_local
    from simnet.drivers.torchrun import run_under_torchrun, started_by_torchrun

    if not started_by_torchrun():
        return (run_local, 1) if driver == "local" else (run_distributed, ranks)
    if driver == "local":
        raise InputError(
            "--driver local plays all ranks in one process, but torchrun has started one for "
            "each; start `thinwire run` by itself, or leave --driver local out"
        )
    here = os.environ.get("LOCAL_WORLD_SIZE", "")
    return run_under_torchrun, int(here) if here.isdecimal() else ranks


def suited(schedule: TeamSchedule, device: str) -> TeamSchedule:
    """As this device runs it; all ranks have devices of one kind, and so the same arithmetic."""
    return on_gpu(schedule) if device == "cuda" else schedule


def _device(asked: str | None, gpus: int) -> str:
    """What was asked for; by default GPUs where there are enough."""
    import torch

    found = torch.cuda.device_count()
    if asked == "cuda" and found < gpus:
        raise InputError(
            f"--device cuda: {gpus} of this host's GPUs are needed, and torch finds {found}; "
            "take fewer ranks or --device cpu"
        )
    return asked or ("cuda" if found >= gpus else "cpu")
