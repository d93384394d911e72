"""`thinwire replay`: a recorded run on another network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.conditions import ConditionChoice
from simnet.commands.options import Flag, Json, NetworkChoice, TracePath, keep_apart
from simnet.commands.output import open_common, open_trace
from simnet.drivers.observer import Observer
from simnet.network.network import Network
from traces.summary import summarize
from traces.trace import Trace

_ASK = NetworkChoice()
_AS_IT_SHOULD_BE = ConditionChoice()


def replay(
    trace: TracePath,
    choice: NetworkChoice = _ASK,
    disturbed: ConditionChoice = _AS_IT_SHOULD_BE,
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
    thinwire replay T --network ethernet-1g --straggler 0:1.5
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
    ranks, steps = recording.run.ranks, recording.run.steps

    def on(network: Network, observer: Observer) -> Trace:
        return replayed(recording, network, observer)

    text = f"replaying on {network.name}"
    predicted = disturbed.predict(network, ranks, on, text=text, steps=steps)
    predicted.save(out, overwrite=overwrite)
    measured = summarize(recording)
    predicted.report(
        as_json=json,
        more={
            "recorded": {
                "total_s": measured.total_s,
                "evidence": measured.evidence,
                "network": measured.network,
            }
        },
    )
