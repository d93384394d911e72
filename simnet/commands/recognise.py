"""`thinwire recognise`: which schedule somebody's recorded program follows."""

from __future__ import annotations

import json as to_json

from simnet.commands.options import Json, TracePath
from simnet.commands.output import open_trace


def recognise(trace: TracePath, *, model: str | None = None, json: Json = False) -> None:
    """Say which of our schedules a captured or imported run follows, on which model, and why.

    ```
    thinwire recognise T
    thinwire recognise T --model flux.1-dev
    ```

    Lines with a + speak for it, those with a - against it. Where both are found, `thinwire predict
    --costs T` predicts other schedules from the run's compute times.

    Parameters
    ----------
    model
        The model's preset, if it is known; `thinwire list models`. Otherwise it is looked for by
        its number of layers and by how much is sent.
    json
        Print it as JSON.
    """
    from simnet.recognition.recognise import recognise as recognised

    found = recognised(open_trace(trace), model)
    print(to_json.dumps(found.to_json(), indent=2) if json else found)
