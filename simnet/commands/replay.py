"""`thinwire replay`: a recorded run on another network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.options import Flag, Json, NetworkChoice, TracePath, keep_apart
from simnet.commands.output import open_common, open_trace, report, step_progress
from traces.summary import summarize

_ASK = NetworkChoice()


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

    keep_apart(out, trace)
    recording = (open_common if partial else open_trace)(trace)
    network = choice.network_for(recording)
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
