"""`thinwire calibrate`: find the model's numbers for a network that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from simnet.commands.calibration import (
    Request,
    expect_places,
    measurements,
    print_calibration,
    write,
)
from simnet.commands.options import Flag, Json
from simnet.commands.output import print_json, print_table


def calibrate(
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    ranks: int | None = None,
    backend: Literal["gloo", "nccl"] = "gloo",
    rate: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    quick: Flag = False,
    figure: Path | None = None,
    overwrite: Flag = False,
    json: Json = False,
) -> None:
    """Measure a network, fit the model to it, and write a file that --network takes.

    ```
    thinwire calibrate --ranks 4 --rate 100Mbit/s --out net.toml --figure fit.svg
    thinwire replay T --network net.toml
    torchrun --nnodes 2 --nproc-per-node 4 ... -m simnet calibrate --backend nccl --out net.toml
    ```

    Under torchrun every process that it starts takes part, and rank 0 writes. What was measured is
    written beside the file as .parquet and .csv.

    Parameters
    ----------
    out
        The network file to write, .toml.
    ranks
        Processes to start on this machine; by default 2.
    backend
        gloo for CPU tensors, nccl for GPUs.
    rate
        Put the ranks in network namespaces, each behind a link of this rate, such as 100Mbit/s;
        needs root and iproute2. By default they use the network that is there.
    quick
        Fewer sizes and repetitions.
    figure
        Draw measurements and fit into this file, .png, .svg or .pdf.
    overwrite
        Replace files that are there.
    json
        Print the result as JSON.
    """
    expect_places(out, figure, overwrite=overwrite)
    request = Request(ranks, backend, rate, quick)
    table = measurements(request)
    if table is None:  # one of torchrun's ranks that has nothing to say
        return
    from simnet.calibration.fit import fit
    from simnet.network.collectives.nccl import NCCL
    from simnet.network.collectives.selection import GLOO

    calibration = fit(table, NCCL if backend == "nccl" else GLOO)
    title = request.describe(calibration.ranks)
    written = write(calibration, table, out, title)
    if figure is not None:
        from figures import calibration as drawn
        from figures import style

        style.save(drawn.draw(drawn.table(calibration.cells)), figure)
        written.append(figure)
    paths = [str(path) for path in written]
    if json:
        print_json({"measured": title, **calibration.to_json(), "files": paths})
        return
    print_calibration(calibration, title)
    print_table("written", ("file",), [(path,) for path in paths])
