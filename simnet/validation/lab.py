"""Runs the lab's cases and predicts each of them, network by network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from simnet.drivers.simulated import simulate
from simnet.lab.judged import Judged, judged
from simnet.lab.precedence import prompt_kernel
from simnet.lab.station import Station
from simnet.lab.undisturbed import LOST
from simnet.lab.unshaped import Unshaped
from simnet.validation.lab_row import Row, failed, row
from traces.errors import ThinwireError
from traces.trace import Trace
from traces.units import format_s

if TYPE_CHECKING:
    from simnet.lab.cases import Case
    from simnet.network.network import Network


def rows(cases: Sequence[Case], folder: Path) -> Iterator[Row]:
    """A row as COLUMNS for each case, as soon as it is there, in their order.

    Traces, measured and predicted, go to `folder`. A case that fails has a row that says why.
    Raises InputError where this machine cannot have a lab.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with prompt_kernel(), Unshaped(folder / "unshaped") as unshaped:
        for network, alike in groupby(cases, key=lambda case: case.network):
            with Station(network) as station:
                yield from _on(station, list(alike), unshaped, folder)


def _on(station: Station, cases: Sequence[Case], unshaped: Unshaped, folder: Path) -> Iterator[Row]:
    network: Network | None = None
    for case in cases:
        try:
            network = network or station.calibrated(folder / f"{case.network.name}.json")
            yield row(case, *_measured_and_predicted(case, station, network, unshaped, folder))
        except ThinwireError as error:
            yield failed(case, str(error))


def _measured_and_predicted(
    case: Case, station: Station, network: Network, unshaped: Unshaped, folder: Path
) -> tuple[Judged, list[str]]:
    workload = case.workload
    prepared = case.compute.prepare(workload, unshaped)
    schedule = unshaped.routed(workload)
    place = folder / "traces" / case.key.replace("/", "+").replace(" ", "_").replace(":", "_")
    place.mkdir(parents=True, exist_ok=True)
    lost_s = case.compute.record(station.run, workload, place / "measured", prepared)
    predicted = simulate(
        *(schedule, workload.job(), prepared.cost, network),
        host=prepared.host,
        cores=prepared.cores,
    )
    predicted.save(place / "predicted", overwrite=True)
    flags = ["routing as recorded on an unshaped network"] if case.has_experts else []
    numbers = judged(Trace.open(place / "measured"), predicted)
    if lost_s > LOST * numbers.measured_s:
        flags.append(f"disturbed by other work for {format_s(lost_s)}")
    return numbers, flags
