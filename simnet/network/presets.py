"""Networks by name: effective rates and latencies of common links and machines."""

from __future__ import annotations

import math

from simnet.network.topology import Islands, Links, Medium, Topology
from traces.errors import InputError, unknown
from traces.units import GB, bits

_GBIT = 1e9


def _by_name(*networks: Topology) -> dict[str, Topology]:
    return {network.name: network for network in networks}


# Ethernet: TCP over IPv4 with a 1500-byte MTU carries 1448 bytes of payload in 1538 on the wire,
# 94.1 % of the rating. Latency: one-way small-message times of NCCL's and gloo's TCP paths,
# 30-50 us on idle hosts.
_PCIE_4 = Links("pcie-4", bits(24 * GB), 5.7e-6)
_NVLINK_4 = Links("nvlink-4", bits(385 * GB), 3.4e-6)
_ETHERNET_10G = Links("ethernet-10g", 10 * _GBIT * 1448 / 1538, 40e-6)
_RDMA_100G = Links("rdma-100g", bits(12.2 * GB), 14e-6)

NETWORKS = _by_name(
    Links("ethernet-100m", 0.1 * _GBIT * 1448 / 1538, 100e-6),
    Links("ethernet-1g", 1 * _GBIT * 1448 / 1538, 50e-6),
    _ETHERNET_10G,
    # TCP over 100 GbE: best reported 4-5 GB/s (NVIDIA/nccl issue 450), not the wire's 12.5.
    Links("ethernet-100g-tcp", bits(4.5 * GB), 40e-6),
    # RoCE or InfiniBand with GPU-direct: 12.2 GB/s (NVIDIA/nccl-tests issue 29).
    _RDMA_100G,
    # x16, effective GB/s one way as in NCCL's tuning constants (12, 24); PCIe 5 as measured
    # between host and device (55). Latency: NCCL's hop over PCIe, Simple protocol.
    Links("pcie-3", bits(12 * GB), 5.7e-6),
    _PCIE_4,
    Links("pcie-5", bits(55 * GB), 5.7e-6),
    # GPU-to-GPU GB/s one way as measured by peer copies (NVLink 4: 376-396) or bus bandwidth
    # of an all-reduce (NVLink 3: 235); NCCL's NVLink hop, Simple protocol.
    Links("nvlink-3", bits(235 * GB), 3.4e-6),
    _NVLINK_4,
    Links("infinite", math.inf),
    # A host whose loopback has one token bucket for all its GPUs together, as CompactFusion's
    # Ethernet emulation had (tc htb on lo; 16, 32 and 48 Gbit/s, plotted as 500, 1000 and 1500
    # MB/s for each of 4 GPUs). No delay was added; the latency is loopback TCP's.
    Medium("shared-bucket-16g", 16 * _GBIT, 30e-6),
    Medium("shared-bucket-32g", 32 * _GBIT, 30e-6),
    Medium("shared-bucket-48g", 48 * _GBIT, 30e-6),
    # 8 GPUs on two sockets, as 8 RTX 4090: 24 GB/s to the root complex, 10 GB/s across sockets
    # (NCCL's constants; topology in NVIDIA/nccl-tests issue 307), two hops of latency.
    Islands("pcie-4-two-sockets", 4, _PCIE_4, Links("between", bits(10 * GB), 5.7e-6)),
    # Hosts of 4 or 8 GPUs, each with one network card.
    Islands("hosts-of-4-ethernet-10g", 4, _PCIE_4, _ETHERNET_10G),
    Islands("hosts-of-8-rdma-100g", 8, _NVLINK_4, _RDMA_100G),
)


def network(name: str) -> Topology:
    """The preset of this name; raises InputError with the nearest one on a miss."""
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    return NETWORKS[name]


def links(name: str) -> Links:
    """The preset of this name, where it is one link for each rank.

    Raises InputError as `network` does, and for a preset of another kind.
    """
    chosen = network(name)
    if not isinstance(chosen, Links):
        raise InputError(
            f"network {name!r} is more than a link for each rank; expected one of those"
        )
    return chosen
