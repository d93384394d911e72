"""Presets: every number has a source, and machines share what they are known to share."""

from __future__ import annotations

from pathlib import Path

import pytest
import simpy

from simnet.network.graph import Graph
from simnet.network.network import Exchange, Line
from simnet.network.presets import NETWORKS, network
from simnet.network.topology import Islands, Links, Medium
from traces.units import GB, bits

DOCS = Path(__file__).resolve().parents[2] / "docs" / "networks.md"
NBYTES = 1_000_000_000  # so much that latencies do not matter


def gbytes_per_s(name: str, kind: str, ranks: int) -> float:
    """What each rank sends per second of an exchange of this kind."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    since_s = (0.0,) * ranks
    exchange = Exchange(kind, members, NBYTES, Line("world", members), 0, since_s)
    network(name).traffic(env).carry(exchange)
    env.run()
    parts = {"all_to_all": (ranks - 1) / ranks, "all_reduce": 2 * (ranks - 1) / ranks}
    return parts[kind] * NBYTES / float(env.now) / GB


def test_names_that_others_use_stay() -> None:
    """Scripts, traces and issues have them."""
    names = (
        *("ethernet-100m", "ethernet-1g", "ethernet-10g", "ethernet-100g-tcp", "rdma-100g"),
        *("pcie-3", "pcie-4", "pcie-5", "nvlink-3", "nvlink-4", "infinite"),
        *("shared-bucket-16g", "shared-bucket-32g", "shared-bucket-48g", "pcie-4-two-sockets"),
        *("hosts-of-4-ethernet-10g", "hosts-of-8-rdma-100g", "l20-pcie4", "8x4090-pcie"),
    )
    assert set(names) <= set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_preset_says_where_its_numbers_are_from(name: str) -> None:
    """Rates at least; and docs/networks.md names it."""
    preset = network(name)
    wanted = {Links: "rate", Medium: "rate", Islands: "between"}.get(type(preset))
    rates = {"rate", "slots"} if wanted is None else {wanted}
    assert rates & set(preset.source)
    assert all(preset.source.values())
    assert f"`{name}`" in DOCS.read_text()


@pytest.mark.parametrize("generation", [3, 4, 5])
def test_machines_without_peer_to_peer_are_never_faster(generation: int) -> None:
    """Nor those with two sockets, beyond the first."""
    for kind in ("all_to_all", "all_reduce"):
        for ranks in (2, 8):
            p2p = gbytes_per_s(f"pcie-{generation}-p2p", kind, ranks)
            staged = gbytes_per_s(f"pcie-{generation}-staged", kind, ranks)
            assert staged < p2p
    across = gbytes_per_s(f"pcie-{generation}-p2p-two-sockets", "all_to_all", 8)
    assert across < gbytes_per_s(f"pcie-{generation}-p2p", "all_to_all", 8) / 2


def test_across_sockets_an_all_to_all_loses_twice_as_much_as_a_ring() -> None:
    """8 ranks: 16 of 56 pairs cross each way, against one neighbour. The limit has a name."""
    two, four = (gbytes_per_s("8x4090-pcie", "all_to_all", ranks) for ranks in (2, 4))
    eight = gbytes_per_s("8x4090-pcie", "all_to_all", 8)
    ring = gbytes_per_s("8x4090-pcie", "all_reduce", 8)

    assert two == pytest.approx(18, rel=0.01)
    assert four == pytest.approx(18, rel=0.01)
    assert eight == pytest.approx(12.7 * 7 / 16, rel=0.01)  # 12.7 GB/s across
    assert ring == pytest.approx(12.7, rel=0.01)


def test_the_l20_machine_gives_what_is_published_of_l20() -> None:
    """All-to-all GB/s for each GPU: 22 with 2, 14 with 4."""
    assert gbytes_per_s("l20-pcie4", "all_to_all", 2) == pytest.approx(22, rel=0.1)
    assert gbytes_per_s("l20-pcie4", "all_to_all", 4) == pytest.approx(14, rel=0.01)


def test_two_hosts_reduce_as_fast_as_is_published_of_16_l40() -> None:
    """2.0 to 2.4 GB/s for each GPU, by the rate of one card for 8 GPUs and a ring across."""
    assert 2.0 <= gbytes_per_s("2x8xl40-ethernet-100g", "all_reduce", 16) <= 2.4


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_the_docs_say_what_the_staged_machine_gives(ranks: int) -> None:
    """The table of docs/networks.md, to its last digit."""
    rates = (gbytes_per_s("8x4090-pcie", kind, ranks) for kind in ("all_to_all", "all_reduce"))
    all_to_all, ring = rates
    assert f"\n| {ranks} | {all_to_all:.1f} | {ring:.1f} |" in DOCS.read_text()


def test_one_stream_over_the_wan_is_slower_than_its_link() -> None:
    """And streams to several ranks together are not."""
    wan = network("wan-50ms")
    path = wan.path(0, 1)

    assert path.cap_bps == pytest.approx(bits(31.5e6), rel=0.01)
    assert path.cap_bps < path.hops[0].rate_bps


def test_places_are_those_of_the_machines_name() -> None:
    """8x is eight, 2x8x is sixteen."""
    for name, places in (("8x4090-pcie", 8), ("2x8xl40-ethernet-100g", 16), ("l20-pcie4", 4)):
        machine = network(name)
        assert isinstance(machine, Graph)
        assert machine.places == places
