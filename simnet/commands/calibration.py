"""What `thinwire calibrate` does before it draws: measures, fits, writes and reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.commands.output import print_table, with_progress
from traces.errors import InputError, RunError, ThinwireError
from traces.files import replaceable, replacing
from traces.units import format_bytes, format_rate, format_s, parse_rate

if TYPE_CHECKING:
    import pandas as pd

    from simnet.calibration.calibration import Calibration, Estimate
    from simnet.calibration.measure import Progress
    from simnet.lab.namespaces import Host


@dataclass(frozen=True)
class Request:
    """What to measure. `rate` is of a lab's links, None for the network that is there."""

    ranks: int | None
    backend: str
    rate: str | None
    quick: bool

    def describe(self, ranks: int) -> str:
        """For the network file."""
        behind = f" on one machine, each behind a token bucket of {self.rate}" if self.rate else ""
        return f"{self.backend}, {ranks} ranks{behind}{', quick' if self.quick else ''}"


def measurements(request: Request) -> pd.DataFrame | None:
    """The table of all ranks, under a progress bar; None on torchrun's ranks other than 0.

    Raises InputError for a request that this machine cannot meet, RunError where a rank fails.
    """
    import pandas as pd

    from simnet.drivers.torchrun import started_by_torchrun

    with _under_torchrun(request) if started_by_torchrun() else _started_here(request) as steps:
        first = next(steps)
        rows: list[dict[str, Any]] = []
        for step in with_progress("measuring", chain([first], steps), first.visits):
            rows += step.rows
    return pd.DataFrame(rows) if rows else None


def expect_places(out: Path, figure: Path | None, *, overwrite: bool) -> None:
    """Raises InputError, before minutes of measuring, for a file that could not be written.

    Also for one that is there, unless `overwrite`.
    """
    if out.suffix != ".toml":
        raise InputError(f"{out}: --out is a network file, whose name ends in .toml")
    if figure is not None and figure.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"{figure}: --figure must end in .png, .svg or .pdf to say its format")
    for path in (*_places(out), *([figure] if figure else [])):
        replaceable(path)
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists; choose another name, or use --overwrite")


def write(calibration: Calibration, table: pd.DataFrame, out: Path, measured: str) -> list[Path]:
    """The network file, and beside it what was measured; gives their paths."""
    from simnet.drivers.header import now
    from simnet.network.writing import save_links
    from traces.versions import versions

    source = {"measured": measured, "at": now(), "versions": versions()}
    save_links(calibration.network(out.stem, source), out)
    _, parquet, csv = written = _places(out)
    with replacing(parquet) as temporary:
        table.to_parquet(temporary, index=False)
    with replacing(csv) as temporary:
        table.to_csv(temporary, index=False)
    return written


def print_calibration(calibration: Calibration, title: str) -> None:
    """Terms with their intervals, how well they fit, and where they do not."""
    rows = [
        ("rate", *_cells(calibration.numbers.rate_bps, format_rate)),
        ("latency", *_cells(calibration.numbers.latency_s, format_s)),
        ("per message", *_cells(calibration.numbers.message_s, format_s)),
        ("ready", *_cells(calibration.numbers.ready_s, format_s)),
        ("duplex factor", *_cells(calibration.numbers.duplex, _plain)),
        ("burst", *_cells(calibration.numbers.burst_bytes, format_bytes)),
    ]
    rows += [
        (f"efficiency of {kind}", *_cells(part, _plain))
        for kind, part in calibration.efficiency.items()
    ]
    print_table(title, ("term", "fitted", "95 % from", "to"), rows)
    print_table(
        f"measured against fitted (R² of messages {calibration.r_squared:.4f})",
        ("kind", "sizes", "large", "median error", "90th percentile", "of small ones"),
        [
            (line.kind, line.cells, line.large, *map(_percent, line[3:]))
            for line in calibration.goodness
        ],
    )
    for note in calibration.notes:
        print(f"note: {note}")


def _places(out: Path) -> list[Path]:
    """The network file, and its measurements twice."""
    return [out, out.with_suffix(".parquet"), out.with_suffix(".csv")]


@contextmanager
def _started_here(request: Request) -> Iterator[Iterator[Progress]]:
    from simnet.calibration.launch import measured
    from simnet.lab.namespaces import Lab
    from simnet.lab.site import ThisHost

    ranks = 2 if request.ranks is None else request.ranks
    _expect_ranks(ranks)
    device = _device(request, ranks)
    if request.rate is None:
        place: Any = nullcontext(ThisHost(ranks))
    else:
        place = Lab([_host(request.rate)] * ranks)
    with place as site:
        yield measured(site, device, quick=request.quick)


@contextmanager
def _under_torchrun(request: Request) -> Iterator[Iterator[Progress]]:
    import torch.distributed as dist

    from simnet.calibration.measure import measure
    from simnet.calibration.plan import FULL, QUICK
    from simnet.drivers.launch import join
    from simnet.drivers.torchrun import variable

    world, local = variable("WORLD_SIZE"), variable("LOCAL_RANK")
    if request.ranks not in (None, world):
        raise InputError(f"torchrun started {world} ranks, but {request.ranks} were asked for")
    if request.rate is not None:
        raise InputError("--rate makes a network on one machine; under torchrun leave it out")
    _expect_ranks(world)
    device = _device(request, variable("LOCAL_WORLD_SIZE"))
    try:
        join(device, local)
        yield measure(QUICK if request.quick else FULL, device)
        dist.destroy_process_group()
    except ThinwireError:
        raise
    except Exception as error:
        raise RunError(f"rank {variable('RANK')}: {error}") from error


def _host(rate: str) -> Host:
    """Of the lab; raises InputError for a rate that its link cannot have."""
    from simnet.lab.namespaces import Host

    try:
        return Host(parse_rate(rate))
    except InputError as error:
        raise InputError(f"--rate {rate}: {error}") from error


def _expect_ranks(ranks: int) -> None:
    if ranks < 2:
        raise InputError(f"--ranks is {ranks}; a network needs 2 ranks or more to be measured")


def _device(request: Request, gpus: int) -> str:
    if request.backend == "gloo":
        return "cpu"
    if request.rate is not None:
        raise InputError(
            "--rate limits virtual Ethernet, which NCCL does not use on one machine; "
            "take --backend gloo, or leave --rate out"
        )
    import torch

    found = torch.cuda.device_count()
    if found < gpus:
        raise InputError(
            f"--backend nccl: {gpus} of this host's GPUs are needed, and torch finds {found}; "
            "take fewer ranks or --backend gloo"
        )
    return "cuda"


def _cells(estimate: Estimate, form: Any) -> tuple[str, str, str]:
    return form(estimate.value), form(estimate.low), form(estimate.high)


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _percent(error: float | None) -> str:
    return "-" if error is None else f"{error:.1%}"
