"""Calibrating unequal hosts: from measurements to a graph with the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from simnet.calibration.case import Case
from simnet.calibration.hosts import fit_hosts
from simnet.calibration.hosts_measure import ONE_WAY
from simnet.lab.namespaces import Host, Lab, why_not
from simnet.lab.networks import NETWORKS, LabNetwork, busy_link, flat, slow_host, two_hosts
from simnet.lab.team import Team
from simnet.network.graph import Graph
from traces.errors import InputError
from traces.units import bits

REASON = why_not()
LIVE = Path(__file__).parent / "live"
in_lab = [
    pytest.mark.lab,
    pytest.mark.skipif(REASON is not None, reason=f"no lab here: {REASON}"),
]
LATENCY_S, MESSAGE_S, READY_S = 100e-6, 30e-6, 50e-6
INSIDE_S, INSIDE_BPS = 40e-6, 16e9
BURST_BYTES = 60_000


def small(pair: tuple[int, int], latency_s: float) -> list[dict[str, object]]:
    """What messages of a byte take."""
    return [
        *Case("ping", pair, 1).rows([2 * (latency_s + MESSAGE_S)]),
        *Case("stream", pair, 1, 32).rows([2 * latency_s + 33 * MESSAGE_S]),
        *Case("late", pair, 1).rows([2 * READY_S]),
    ]


def rested(pair: tuple[int, int], rate_bps: float) -> list[dict[str, object]]:
    """What two sizes take after a rest."""
    rows = []
    for part in (3, 1):
        nbytes = int(0.15 * rate_bps / bits(1) / part)
        passed_s = bits(nbytes - BURST_BYTES) / rate_bps
        rows += Case(ONE_WAY, pair, nbytes).rows([LATENCY_S + MESSAGE_S + passed_s])
    return rows


def test_the_numbers_of_unequal_hosts_are_found() -> None:
    """A slow way says nothing against its faster end."""
    rows = small((0, 1), LATENCY_S)
    rates = {(0, 1): 95e6, (1, 2): 38e6, (0, 2): 38e6}
    for pair, rate_bps in rates.items():
        rows += rested(pair, rate_bps)
    found = fit_hosts(rows, [0, 1, 2])

    assert [uplink.rate_bps for uplink in found.uplinks] == pytest.approx([95e6, 95e6, 38e6])
    assert [uplink.burst_bytes for uplink in found.uplinks] == pytest.approx([BURST_BYTES] * 3)
    assert found.across == pytest.approx((LATENCY_S, MESSAGE_S, READY_S))
    path = found.network("test").path(0, 2)
    assert path.alone_bps == pytest.approx(38e6)
    assert path[1:4] == pytest.approx((LATENCY_S, MESSAGE_S, READY_S))


def test_ranks_of_a_host_meet_inside_and_share_its_link() -> None:
    """A message inside has the costs inside, one across those between hosts."""
    rows = small((0, 2), LATENCY_S) + rested((0, 2), 95e6) + small((0, 1), INSIDE_S)
    nbytes = 2**22
    rows += Case("ping", (0, 1), nbytes).rows(
        [2 * (INSIDE_S + MESSAGE_S) + bits(nbytes) / INSIDE_BPS]
    )
    network = fit_hosts(rows, [0, 0, 1, 1]).network("test")

    inside, across = network.path(0, 1), network.path(0, 3)
    assert inside.alone_bps == pytest.approx(INSIDE_BPS)
    assert inside[1:4] == pytest.approx((INSIDE_S, MESSAGE_S, READY_S))
    assert across.alone_bps == pytest.approx(95e6)
    assert across[1:4] == pytest.approx((LATENCY_S, MESSAGE_S, READY_S))
    assert network.path(1, 2).hops[1] == across.hops[1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "ping of ranks .* is missing"),
        (small((0, 1), LATENCY_S), "no messages between hosts"),
    ],
)
def test_measurements_that_tell_too_little_are_refused(
    rows: list[dict[str, object]], said: str
) -> None:
    """With what is missing."""
    with pytest.raises(InputError, match=said):
        fit_hosts(rows, [0, 1])


def test_the_networks_of_the_suite_are_what_they_are_called() -> None:
    """All names differ; ranks are numbered host by host."""
    assert len({network.name for network in NETWORKS}) == len(NETWORKS)
    assert {network.ranks for network in NETWORKS} == {2, 4}
    assert two_hosts(50).places == (0, 0, 1, 1)
    assert [host.rate_bps for host in slow_host(4, 100).hosts] == [100e6] * 3 + [40e6]
    assert flat(2, 20).conditions().background == ()
    (background,) = busy_link(4, 100).conditions().background
    assert (background.ranks, background.paced) == ((0, 1), True)
    assert background.rate_bps == pytest.approx(30e6 * 1448 / 1514)


class TestInTheLab:
    """With real gloo processes on real slow links."""

    pytestmark = in_lab

    def test_a_slow_host_is_found_to_be_one(self) -> None:
        """From its measurements alone, within 3 % of its bucket's rate; so are the others."""
        network = LabNetwork("test", (Host(100e6), Host(100e6), Host(40e6)))
        words = [sys.executable, str(LIVE / "measure_hosts.py"), json.dumps(network.places)]
        rows: list[dict[str, Any]] = []
        with network.lab() as site, Team(site, words) as team:
            for report in team.reports():
                rows += report
        found = fit_hosts(rows, network.places)

        true = [host.bucket().payload_bps for host in network.hosts]
        assert [uplink.rate_bps for uplink in found.uplinks] == pytest.approx(true, rel=0.03)
        assert isinstance(found.network("test"), Graph)
        assert {each.kind for each in found.beside} > {"all_gather", "all_reduce", "all_to_all"}

    def test_traffic_takes_its_rate_while_the_block_lasts(self) -> None:
        """What the receiving host's link counts, until half a megabyte has come."""
        network = busy_link(2, 50)
        with network.lab() as site:
            with network.busy(site):
                first_bytes, first_s = received(site), perf_counter()
                last_bytes = first_bytes
                while last_bytes < first_bytes + 5e5:
                    last_bytes, last_s = received(site), perf_counter()
            after_bytes = received(site)

            assert bits(last_bytes - first_bytes) / (last_s - first_s) == pytest.approx(
                15e6, rel=0.1
            )
            assert received(site) - after_bytes < 1e4


def received(site: Lab) -> int:
    """Bytes that came over the link of rank 1's host so far."""
    command = site.command(1, ["cat", "/sys/class/net/eth0/statistics/rx_bytes"])
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
