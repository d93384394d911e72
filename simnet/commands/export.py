"""`thinwire export`: a trace for other people's viewers."""

from __future__ import annotations

from pathlib import Path

from simnet.commands.options import TracePath
from simnet.commands.output import open_trace


def export(trace: TracePath, to: Path) -> None:
    """Write a trace as Chrome JSON, which ui.perfetto.dev and chrome://tracing open.

    ```
    thinwire export T trace.json.gz
    ```

    Parameters
    ----------
    trace
        A trace: the folder that `thinwire run` made.
    to
        File to write, .json or .json.gz.
    """
    from traces.perfetto import write

    write(open_trace(trace), to)
    print(f"{to}: open it at https://ui.perfetto.dev")
