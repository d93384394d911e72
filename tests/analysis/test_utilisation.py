"""Busy shares: hand-made transfers, and links whose flows are known by arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.utilisation import lines_busy, links_busy
from simnet.costs import Roofline
from simnet.devices import DEVICES
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.network.topology import Links, Medium
from simnet.schedules.named import schedule
from traces.errors import InputError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

RUN = Run("tiny", "toy", ranks=2, steps=1, driver="distributed", device="toy", network="gloo")
MB = 1_000_000


def rows(rank: int, times_s: list[tuple[float, float]], nbytes: int = MB) -> list[Operation]:
    """All-gathers asked for at 0 that end then, and a compute of 10 s."""
    made = [Operation(rank, 0, "compute", "compute", "f", 0, 0, 0.0, 10.0, 10.0)]
    for seq, (start_s, end_s) in enumerate(times_s, start=1):
        row = Operation(rank, seq, "world", "all_gather", "x", 0, 0, start_s, end_s)
        row.group, row.shape = "0,1", f"{nbytes // 4}:float32"
        row.bytes = row.wire_bytes = nbytes
        made.append(row)
    return made


def trace(*operations: Operation) -> Trace:
    """Of these."""
    return Trace(RUN, table(operations))


def test_a_line_is_busy_from_when_all_have_asked() -> None:
    """Asked for at 1 and 3, over at 6: busy from 3 to 6; the rate is that of both ranks' bytes."""
    found = lines_busy(trace(*rows(0, [(1.0, 6.0)]), *rows(1, [(3.0, 5.0)])), bins=5)
    assert found["line"].to_numpy().tolist() == ["world (0,1)"]
    np.testing.assert_allclose(found["busy"][0], [0, 0.5, 1, 0, 0])
    np.testing.assert_allclose(found["rate_bps"][0] * 2, np.array([0, 1, 2, 0, 0]) * 16e6 / 3)
    np.testing.assert_allclose(found["time"], [1, 3, 5, 7, 9])
    total_bits = float((found["rate_bps"] * 2).sum())
    assert total_bits == pytest.approx(16e6)


def test_what_never_ended_or_lacks_a_rank_is_no_idle_line() -> None:
    """It is left out, and a line of which nothing is left has no number."""
    found = lines_busy(trace(*rows(0, [(1.0, math.nan)]), *rows(1, [(3.0, 5.0)])), bins=2)
    assert np.isnan(found["busy"]).all()
    assert found.attrs["gaps"] == "1 exchanges never ended or lack the rows of a rank"


def test_links_carry_each_flow_at_its_rate() -> None:
    """A message of 1 MB each way at 1 MB/s, at once: out and in of both ranks full for a second.

    Then nothing until the end, which is at 10 s.
    """
    measured = trace(*rows(0, [(10.0, 10.0)]), *rows(1, [(10.0, 10.0)]))
    wire = Links("wire", 8e6)
    ops = measured.ops.assign(seq=[1, 0, 1, 0], start_s=0.0)
    found = links_busy(Trace(RUN, ops), wire, bins=5)
    assert sorted(found["link"].to_numpy()) == [
        "rank 0 in",
        "rank 0 out",
        "rank 1 in",
        "rank 1 out",
    ]
    for link in found["utilisation"].to_numpy():
        np.testing.assert_allclose(link, [0.5, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found["rate_bps"].isel(time=0), 4e6)


@pytest.mark.parametrize("network", [Links("wire", 1e9, 20e-6), Medium("air", 1e9, 20e-6)])
def test_links_carry_all_bytes_and_never_more_than_they_can(network: Links | Medium) -> None:
    """What crosses the links adds up to what ranks put on the wire, whatever they share."""
    job = Job("dit-nano", 4, steps=3)
    run = simulate(schedule("ulysses"), job, Roofline(DEVICES["l20"]), network)
    found = links_busy(run, network, bins=40)
    bin_s = found.attrs["total_s"] / 40
    crossed = float(found["rate_bps"].sum()) * bin_s / 8
    sides = 1 if isinstance(network, Medium) else 2
    assert crossed == pytest.approx(sides * run.ops["wire_bytes"].sum(), rel=1e-9)
    assert found["utilisation"].max() <= 1 + 1e-9
    assert found["utilisation"].max() > 0.5
    assert found.attrs["total_s"] == pytest.approx(run.ops["end_s"].max())


def test_a_prediction_knows_its_network_by_name() -> None:
    """A measurement does not, and says what it needs."""
    run = simulate(
        schedule("ring"), Job("dit-nano", 2, steps=2), Roofline(DEVICES["l20"]),
        NETWORKS["ethernet-1g"],
    )  # fmt: skip
    assert links_busy(run, bins=4).attrs["network"] == "ethernet-1g"
    for header in (RUN, replace(run.run, network="tin-cans")):
        with pytest.raises(InputError, match="give a network to replay it on"):
            links_busy(Trace(header, run.ops), bins=4)


def test_links_without_limits_and_no_bins_are_refused() -> None:
    """There is no share of the infinite."""
    run = trace(*rows(0, [(0.0, 1.0)]), *rows(1, [(0.0, 1.0)]))
    with pytest.raises(InputError, match="no link has a limit"):
        links_busy(run, NETWORKS["infinite"])
    with pytest.raises(InputError, match="bins is 0"):
        lines_busy(run, bins=0)
    alone = trace(Operation(0, 0, "compute", "compute", "f", 0, 0, 0.0, 1.0, 1.0))
    with pytest.raises(InputError, match="nothing was sent"):
        lines_busy(alone)
