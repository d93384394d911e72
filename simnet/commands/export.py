"""`thinwire export`: a trace for other people's viewers and simulators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.options import TracePath
from simnet.commands.output import open_trace
from traces.errors import InputError


def export(trace: TracePath, out: Annotated[Path, Parameter(name=["--out", "--to", "-o"])]) -> None:
    """Write a trace as Chrome JSON, which ui.perfetto.dev opens, or for ASTRA-sim as Chakra.

    ```
    thinwire export T trace.json.gz
    thinwire export T --out trace.et
    ```

    The second writes a file of each rank, trace.0.et, trace.1.et and so on, and, where not all
    transfers are of all ranks, trace.groups.json. Details: docs/formats.md.

    Parameters
    ----------
    trace
        A trace: the folder that `thinwire run` made.
    out
        File to write: .json, .json.gz or .et.
    """
    from traces.chakra import writing
    from traces.perfetto import write

    if not out.name.endswith((".json", ".json.gz", writing.SUFFIX)):
        raise InputError(f"{out}: expected a name that ends in .json, .json.gz or .et")
    source = open_trace(trace)
    if out.suffix == writing.SUFFIX:
        written = writing.write(source, out)
        print(f"{', '.join(map(str, written[:4]))}{' ...' if len(written) > 4 else ''}")
        print(f"run them with ASTRA-sim: --workload-configuration={out.with_suffix('')}")
    else:
        write(source, out)
        print(f"{out}: open it at https://ui.perfetto.dev")
