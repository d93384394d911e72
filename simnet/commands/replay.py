"""`thinwire replay`: a recorded run on another network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.options import Flag, Json, NetworkChoice, TracePath
from simnet.commands.output import report, step_progress
from traces.summary import summarize
from traces.trace import Trace

_ASK = NetworkChoice()
#: Name under which --network means the one that the trace was recorded on.
RECORDED = "recorded"


def replay(
    trace: TracePath,
    choice: NetworkChoice = _ASK,
    *,
    partial: Flag = False,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Flag = False,
    json: Json = False,
) -> None:
    """Predict how long a recorded run would have taken on another network.

    ```
    thinwire replay T --network ethernet-1g
    thinwire replay T --rate 200Mbit/s --latency 1ms --json
    thinwire replay T --network recorded
    ```

    Compute times, and the time between operations, stay as recorded; `--network recorded` keeps
    the transfers' times too, and so should give back the recorded total.

    Parameters
    ----------
    trace
        A trace: the folder that `thinwire run` made.
    partial
        Of a recording that was cut short, replay the steps that all ranks completed.
    out
        Folder to write the predicted trace to.
    overwrite
        Replace a trace that is already there.
    json
        Print the summary as JSON.
    """
    from simnet.drivers.replay import replay as replayed
    from simnet.network.recorded import RecordedNetwork
    from traces.partial import common_steps

    links = None if choice.network == RECORDED else choice.links()
    recording = Trace.open(trace)
    if partial:
        recording = common_steps(recording)
    network = links or RecordedNetwork.from_trace(recording)
    with step_progress(f"replaying on {network.name}", recording.run.steps) as observer:
        predicted = replayed(recording, network, observer)
    if out is not None:
        predicted.save(out, overwrite=overwrite)
    measured = summarize(recording)
    report(
        summarize(predicted),
        as_json=json,
        more={
            "recorded": {
                "total_s": measured.total_s,
                "evidence": measured.evidence,
                "network": measured.network,
            }
        },
    )
