"""Networks by name: effective rates and latencies of common links and machines, with sources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from simnet.network.machine_presets import MACHINES
from simnet.network.topology import Islands, Links, Medium, Topology
from traces.errors import InputError, unknown
from traces.units import GB, bits

_GBIT = 1e9
#: What TCP leaves of Ethernet for payload, and RDMA, by their headers.
_TCP, _ROCE = 1448 / 1538, 4096 / 4178

# Sources, kept with each network and shown by `thinwire show-network`.
_FRAMING = (
    "derived: TCP over IPv4 with a 1500-byte MTU carries 1448 bytes of payload in 1538 on the wire"
)
_TCP_LATENCY = "one-way times of small messages over TCP on idle hosts, 30-50 us for NCCL and gloo"
_NCCL_PCIE = "NCCL's tuning constant for x16"
_NCCL_PCIE_HOP = "NCCL's hop over PCIe, Simple protocol; 1.0 and 2.5 us for LL and LL128"
_NCCL_NVLINK_HOP = "NCCL's hop over NVLink, Simple protocol; 0.6 and 1.9 us for LL and LL128"
_NCCL_NET_HOP = "NCCL's hop over a network, Simple protocol; 2.7 and 4.0 us for LL and LL128"
_ROCE_FRAMING = (
    "derived: RoCE v2 with a 4096-byte MTU carries 4096 bytes in 4178 on the wire; measured "
    "12.2 GB/s at 100 Gbit/s (NVIDIA/nccl-tests issue 29)"
)
_BUCKET = (
    "CompactFusion's emulated Ethernet: one token bucket (tc htb on lo) for all GPUs of a host "
    "together; plotted as a fourth of it for each of 4 GPUs"
)


def _ethernet(name: str, gbit: float, latency_s: float) -> Links:
    source = {"rate": _FRAMING, "latency": _TCP_LATENCY}
    return Links(name, gbit * _GBIT * _TCP, latency_s, source=source)


def _gpus(name: str, gbytes: float, latency_s: float, rate: str, latency: str) -> Links:
    return Links(name, bits(gbytes * GB), latency_s, source={"rate": rate, "latency": latency})


def _roce(name: str, gbit: float) -> Links:
    source = {"rate": _ROCE_FRAMING, "latency": _NCCL_NET_HOP}
    return Links(name, gbit * _GBIT * _ROCE, 14e-6, source=source)


def _bucket(name: str, gbit: float) -> Medium:
    source = {"rate": _BUCKET, "latency": "of TCP over loopback; no delay was added"}
    return Medium(name, gbit * _GBIT, 30e-6, source=source)


def _hosts(name: str, gpus: int, inside: Links, between: Links) -> Islands:
    source: Mapping[str, Any] = {
        "inside": f"{inside.name}: {inside.source['rate']}",
        "between": f"{between.name}: {between.source['rate']}; one card for a host",
    }
    return Islands(name, gpus, inside, between, source=source)


_PCIE_4 = _gpus("pcie-4", 24, 5.7e-6, _NCCL_PCIE, _NCCL_PCIE_HOP)
_NVLINK_4 = _gpus(
    "nvlink-4", 385, 3.4e-6, "peer copies as measured: 376-396 GB/s each way", _NCCL_NVLINK_HOP
)
_ETHERNET_10G = _ethernet("ethernet-10g", 10, 40e-6)
_RDMA_100G = _gpus(
    "rdma-100g",
    12.2,
    14e-6,
    "RoCE or InfiniBand with GPU-direct as measured (NVIDIA/nccl-tests issue 29); without "
    "GPU-direct 1.1 GB/s (issue 293)",
    _NCCL_NET_HOP,
)

_LINKS = (
    _ethernet("ethernet-100m", 0.1, 100e-6),
    _ethernet("ethernet-1g", 1, 50e-6),
    _ETHERNET_10G,
    _gpus(
        "ethernet-25g-tcp",
        2.45,
        40e-6,
        "estimate: the middle of 2-2.9 GB/s; no measurement found",
        _TCP_LATENCY,
    ),
    _gpus(
        "ethernet-100g-tcp",
        4.5,
        40e-6,
        "best reported 4-5 GB/s, 1.1-1.5 at large sizes (NVIDIA/nccl issue 450), not the wire's "
        "12.5",
        _TCP_LATENCY,
    ),
    _roce("roce-10g", 10),
    _roce("roce-25g", 25),
    _RDMA_100G,
    Links(
        "wan-50ms",
        1 * _GBIT * _TCP,
        50e-3,
        cap_bps=bits(3 * 2**20) / 0.1,
        source={
            "rate": _FRAMING,
            "latency": "50 ms one way, by definition",
            "per_flow": "one TCP stream: half of Linux's default largest receive buffer of 6 MiB "
            "(tcp_rmem) in each round trip; estimate",
        },
    ),
    _gpus("pcie-3", 12, 5.7e-6, _NCCL_PCIE, _NCCL_PCIE_HOP),
    _PCIE_4,
    _gpus("pcie-5", 55, 5.7e-6, "host to device as measured: 55.4 GB/s on H200", _NCCL_PCIE_HOP),
    _gpus("nvlink-2", 120, 3.4e-6, "NCCL's 20 GB/s a link, 6 links", _NCCL_NVLINK_HOP),
    _gpus("nvlink-3", 235, 3.4e-6, "bus bandwidth of an all-reduce on A100", _NCCL_NVLINK_HOP),
    _NVLINK_4,
    _gpus(
        "nvlink-5", 722, 3.4e-6, "NCCL's 40.1 GB/s a link, 18 links; not measured", _NCCL_NVLINK_HOP
    ),
    Links("infinite", math.inf, source={"rate": "no network at all: computing alone is left"}),
)

_MEDIA = (
    _bucket("shared-bucket-16g", 16),
    _bucket("shared-bucket-32g", 32),
    _bucket("shared-bucket-48g", 48),
    Medium(
        "wifi-6",
        0.35 * _GBIT,
        2e-3,
        source={
            "rate": "TCP at 1.2 Gbit/s PHY (80 MHz, 2 streams): 500-850 Mbit/s between a station "
            "and a wired host (openwrt/mt76 issue 709), here 700; between stations every bit "
            "is on the air twice, so half of it",
            "latency": "estimate; 1-5 ms on an idle channel",
        },
    ),
)

_ISLANDS = (
    Islands(
        "pcie-4-two-sockets",
        4,
        _PCIE_4,
        Links("between", bits(10 * GB), 5.7e-6),
        source={
            "inside": f"pcie-4: {_NCCL_PCIE}",
            "between": "NCCL's constant for Intel's inter-socket link, as in a topology of 8 RTX "
            "4090 (NVIDIA/nccl-tests issue 307); latency: another hop",
        },
    ),
    _hosts("hosts-of-4-ethernet-10g", 4, _PCIE_4, _ETHERNET_10G),
    _hosts("hosts-of-8-rdma-100g", 8, _NVLINK_4, _RDMA_100G),
)

_ALL: tuple[Topology, ...] = (*_LINKS, *_MEDIA, *_ISLANDS, *MACHINES)
NETWORKS = {network.name: network for network in _ALL}


def network(name: str) -> Topology:
    """The preset of this name; raises InputError with the nearest one on a miss."""
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    return NETWORKS[name]


def links(name: str) -> Links:
    """The preset of this name, where it is one link for each rank.

    Raises InputError as `network` does, and for a preset of another kind.
    """
    return only_links(network(name))


def only_links(chosen: Topology) -> Links:
    """The same network, where it is one link for each rank and all is as it should be.

    Raises InputError for another kind of network, and for one with conditions.
    """
    if not isinstance(chosen, Links):
        raise InputError(
            f"network {chosen.name!r} is more than a link for each rank; expected one of those"
        )
    if chosen.conditions:
        raise InputError(
            f"network {chosen.name!r} has conditions ({chosen.conditions}), which are left out "
            "here; take them out of its file"
        )
    return chosen
