"""`thinwire predict`: a run that nobody has made yet."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.conditions import ConditionChoice
from simnet.commands.options import Flag, GpuWorkload, Json, NetworkChoice, keep_apart
from simnet.commands.output import open_trace
from simnet.costs import CostModel, MeasuredCosts, Roofline, Scaled
from simnet.devices import device as preset_device
from simnet.drivers.observer import Observer
from simnet.job import Job
from simnet.memory import Memory
from simnet.network.network import Network
from simnet.network.presets import NETWORKS
from simnet.recognition.carried import CarriedOver, carry_over, of_another_program
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.expert.conditional import NOBODY
from simnet.schedules.named import innermost, on_gpu
from simnet.schedules.single import Single
from traces.errors import InputError
from traces.summary import summarize
from traces.trace import Trace
from traces.units import parse_time

_ASK = NetworkChoice()
_DEFAULT = GpuWorkload()
_AS_IT_SHOULD_BE = ConditionChoice()
#: Options of `thinwire profile` that all of a file's calls are measured with.
_SAME = ("--device", "--threads", "--name")


def predict(
    workload: GpuWorkload = _DEFAULT,
    choice: NetworkChoice = _ASK,
    disturbed: ConditionChoice = _AS_IT_SHOULD_BE,
    *,
    gpu: Annotated[str | None, Parameter(alias="--device")] = None,
    costs: Path | None = None,
    single: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Flag = False,
    json: Json = False,
) -> None:
    """Predict a run from a cost model: the schedule itself, on tensors without data.

    ```
    thinwire predict --model flux.1-dev --codec residual-1bit --gpu l20 --network l20-pcie4
    thinwire predict --model dit-tiny --costs T --dtype float32 --network ethernet-1g
    thinwire predict --gpu l20 --network ethernet-1g --jitter 200us --replications 30
    ```

    Parameters
    ----------
    gpu
        Compute times by a roofline of this GPU; `thinwire list devices`. What comes before and
        after the steps (text encoder, decoder) is added, as time of the host.
    costs
        Instead: compute times as measured, from a trace, from what `thinwire profile` wrote, or
        from a profile that is recorded (`thinwire list profiles`). Those of a captured or imported
        program, whose schedule is recognised, are carried over to others: docs/foreign.md.
    single
        With --gpu: how long one such GPU was seen to take for all of it, such as 23.2s; compute
        times are scaled so that this is what is predicted for it.
    out
        Folder to write the predicted trace to.
    overwrite
        Replace a trace that is already there.
    json
        Print the summary as JSON.
    """
    from simnet.drivers.simulated import simulate

    if costs is not None:
        keep_apart(out, costs)
    network, job = choice.links(), workload.job()
    schedule = workload.chosen_schedule()
    cost, outside_s = _measured(costs, single, workload), 0.0
    if isinstance(cost, CarriedOver):
        outside_s = cost.host_s * job.steps
    if gpu is not None:
        cost, outside_s = _roofline(gpu, costs, single, job)
        if preset_device(gpu).is_gpu:
            schedule = on_gpu(schedule)
    if cost is None:
        raise InputError(
            "how fast is the compute? give --gpu NAME (`thinwire list devices`) or --costs TRACE"
        )
    chosen = cost

    def on(network: Network, observer: Observer) -> Trace:
        return simulate(schedule, job, chosen, network, observer, outside_s=outside_s)

    text = f"simulating {workload.schedule}"
    predicted = disturbed.predict(network, job.ranks, on, text=text, steps=job.steps)
    predicted.save(out, overwrite=overwrite)
    device_bytes = math.inf if gpu is None else preset_device(gpu).memory_bytes
    memory = Memory.of(schedule, job, device_bytes)
    predicted.report(as_json=json, more={"memory": memory.to_json()})
    if not json:
        print(memory)


def _expect_rows(workload: GpuWorkload) -> None:
    """Measured costs are of as many rows as a gate chose; a simulation must go by it as well."""
    chosen = innermost(workload.chosen_schedule())
    if not isinstance(chosen, ExpertSchedule):
        return
    if workload.routing is None or chosen.skip != NOBODY:
        raise InputError(
            "--costs has times for the rows that each expert had in the recorded run: record it "
            "with --keep chosen and give --routing TRACE as well, for a schedule that leaves no "
            "slots out; or take --gpu"
        )


def _measured(costs: Path | None, single: str | None, workload: GpuWorkload) -> CostModel | None:
    if costs is None:
        return None
    if single is not None:
        raise InputError("--single scales a roofline; measured costs need none")
    if costs.is_dir():
        trace = open_trace(costs)
        if of_another_program(trace):
            return carry_over(trace, workload.model)
        _expect_rows(workload)
        return MeasuredCosts.from_trace(trace)
    _expect_rows(workload)
    measured = MeasuredCosts.open(costs)
    measured.remedy = f"measure them: {_command(workload, costs, measured.made)}"
    return measured


def _command(workload: GpuWorkload, costs: Path, made: Mapping[str, str]) -> str:
    """What measures the calls of a workload as those of a profile were, and adds them to it."""
    coded = f"{workload.schedule}/{workload.codec}" if workload.codec else workload.schedule
    options = f"--schedules {coded} --ranks {workload.ranks} --dtype {workload.dtype}"
    words = shlex.split(made.get("command", ""))
    same = {name: words[words.index(name) + 1] for name in _SAME if name in words[:-1]}
    if workload.batch > 1:
        same["--batch"] = str(workload.batch)
    more = "".join(f" {name} {shlex.quote(value)}" for name, value in same.items())
    out = costs if costs.exists() else "FILE"
    return f"thinwire profile --model {workload.model} {options}{more} --out {out}"


def _roofline(
    gpu: str, costs: Path | None, single: str | None, job: Job
) -> tuple[CostModel, float]:
    """Of a GPU, and what comes outside the steps; as it is, or scaled to a measured latency."""
    from simnet.drivers.simulated import simulate

    if costs is not None:
        raise InputError("give --gpu or --costs, not both")
    roofline = Roofline(preset_device(gpu))
    outside_s = roofline.outside_s(job.preset)
    if single is None:
        return roofline, outside_s
    seen_s = parse_time(single)
    if not seen_s > 0:
        raise InputError(f"--single is {single}, expected more than no time")
    alone = simulate(Single(), replace(job, ranks=1), roofline, NETWORKS["infinite"])
    factor = seen_s / (outside_s + summarize(alone).total_s)
    return Scaled(roofline, factor), outside_s * factor
