"""`thinwire sweep`: thousands of predictions from one file, and the figure of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Json
from simnet.commands.sweep import Request, report, run
from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

#: More lines than this cannot be told from each other.
_MOST_LINES = 12
_ACROSS = "bandwidth_bps"


def sweep(
    file: Path,
    *,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    jobs: Annotated[int | None, Parameter(alias="-j")] = None,
    scheduler: str | None = None,
    cache: Path | None = None,
    figure: Path | None = None,
    json: Json = False,
) -> None:
    """Predict everything that a file asks for: schedules, codecs, ranks, GPUs, networks.

    ```
    thinwire sweep docs/examples/bandwidths.toml
    thinwire sweep docs/examples/bandwidths.toml --out results --figure results/bandwidths.png
    thinwire sweep hosts.toml --out results --scheduler tcp://10.0.0.1:8786
    ```

    A file, as docs/sweeps.md describes it:

    ```toml
    [axes]
    models = "flux.1-dev"
    schedules = ["patch", "distrifusion"]
    codecs = ["none", "residual-1bit"]
    ranks = [4, 8]
    gpus = "l20"
    bandwidths = { from = "100Mbit/s", to = "100Gbit/s", points = 30 }
    ```

    What was computed is kept, so a sweep that was interrupted, or gets more values, goes on where
    it was. A combination that cannot run is a point with the reason.

    Parameters
    ----------
    file
        What to predict, .toml.
    out
        Folder for points.parquet, points.nc and sweep.toml, which are replaced.
    jobs
        Processes of this machine; by default one for each core.
    scheduler
        Instead: the workers of a Dask cluster, by the address of its scheduler.
    cache
        Folder for what was computed; by default thinwire/sweeps in the user's cache.
    figure
        Draw latency against bandwidth, with break-even points, into this file, .png, .svg or .pdf.
    json
        Print the result as JSON.
    """
    if figure is not None:
        from figures import style

        style.check(figure)
    swept = run(file, Request(jobs, scheduler, cache, out))
    if figure is not None:
        from figures import bandwidth, style

        style.save(bandwidth.draw(bandwidth.table(curves(swept.arrays.dataset()))), figure)
        swept.files.append(figure)
    report(swept, as_json=json)


def curves(made: xr.Dataset) -> Iterator[dict[str, Any]]:
    """The rows of `figures.bandwidth.table`: a line for all that varies but the bandwidth.

    Raises InputError where that does not vary, and where there are too many lines.
    """
    total_s = made["total_s"]
    if _ACROSS not in total_s.dims:
        raise InputError("--figure draws latency against bandwidth; give bandwidths two or more")
    others = [str(name) for name in total_s.dims if name != _ACROSS]
    lines = (
        made[["total_s", "compute_s"]].stack(line=others) if others else made.expand_dims("line")
    )
    if lines.sizes["line"] > _MOST_LINES:
        raise InputError(
            f"--figure has room for {_MOST_LINES} lines, and the sweep has {lines.sizes['line']} "
            f"({' x '.join(others)}); leave values out"
        )
    for number in range(lines.sizes["line"]):
        yield from _curve(lines.isel(line=number), others)


def _curve(line: xr.Dataset, others: list[str]) -> Iterator[dict[str, Any]]:
    ran = line.dropna(_ACROSS)
    label = ":".join(_part(name, line[name].item()) for name in others) or "all"
    for rate_bps, total_s, compute_s in zip(
        *(ran[name].values.tolist() for name in (_ACROSS, "total_s", "compute_s")), strict=True
    ):
        yield {
            "schedule": label,
            "rate_bps": rate_bps,
            "total_s": total_s,
            "compute_s": compute_s,
            "evidence": "predicted",
            "network": "",
        }


def _part(name: str, value: Any) -> str:
    """Names speak for themselves, numbers do not."""
    return value if isinstance(value, str) else f"{name}={value:g}"
