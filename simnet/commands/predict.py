"""`thinwire predict`: a run that nobody has made yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.conditions import ConditionChoice
from simnet.commands.options import Flag, GpuWorkload, Json, NetworkChoice, keep_apart
from simnet.commands.output import open_trace
from simnet.costs import CostModel, MeasuredCosts, Roofline
from simnet.devices import device as preset_device
from simnet.drivers.observer import Observer
from simnet.network.network import Network
from traces.errors import InputError
from traces.trace import Trace

_ASK = NetworkChoice()
_DEFAULT = GpuWorkload()
_AS_IT_SHOULD_BE = ConditionChoice()


def predict(
    workload: GpuWorkload = _DEFAULT,
    choice: NetworkChoice = _ASK,
    disturbed: ConditionChoice = _AS_IT_SHOULD_BE,
    *,
    device: str | None = None,
    costs: Path | None = None,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Flag = False,
    json: Json = False,
) -> None:
    """Predict a run from a cost model: the schedule itself, on tensors without data.

    ```
    thinwire predict --model flux-shaped --schedule ring --network pcie-4 --device l20
    thinwire predict --model dit-tiny --costs T --dtype float32 --network ethernet-1g
    thinwire predict --device l20 --network ethernet-1g --jitter 200us --replications 30
    ```

    Parameters
    ----------
    device
        Compute times by a roofline of this GPU; `thinwire list devices`.
    costs
        Instead: compute times as measured, from a trace or from what `thinwire profile` wrote.
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
    cost, network = _cost_model(device, costs), choice.links()
    schedule, job = workload.chosen_schedule(), workload.job()

    def on(network: Network, observer: Observer) -> Trace:
        return simulate(schedule, job, cost, network, observer)

    text = f"simulating {workload.schedule}"
    predicted = disturbed.predict(network, job.ranks, on, text=text, steps=job.steps)
    predicted.save(out, overwrite=overwrite)
    predicted.report(as_json=json)


def _cost_model(device: str | None, costs: Path | None) -> CostModel:
    if device is not None and costs is not None:
        raise InputError("give --device or --costs, not both")
    if costs is not None and costs.is_dir():
        return MeasuredCosts.from_trace(open_trace(costs))
    if costs is not None:
        return MeasuredCosts.open(costs)
    if device is not None:
        return Roofline(preset_device(device))
    raise InputError(
        "how fast is the compute? give --device NAME (`thinwire list devices`) or --costs TRACE"
    )
