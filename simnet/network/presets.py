"""Networks by name: effective rates and latencies of common links."""

from __future__ import annotations

import math

from simnet.network.links import Links
from traces.errors import unknown
from traces.units import GB, bits

_GBIT = 1e9

# Ethernet: TCP over IPv4 with a 1500-byte MTU carries 1448 bytes of payload in 1538 on the wire,
# 94.1 % of the rating. Latency: one-way small-message times of NCCL's and gloo's TCP paths,
# 30-50 us on idle hosts.
NETWORKS: dict[str, Links] = {
    network.name: network
    for network in (
        Links("ethernet-100m", 0.1 * _GBIT * 1448 / 1538, 100e-6),
        Links("ethernet-1g", 1 * _GBIT * 1448 / 1538, 50e-6),
        Links("ethernet-10g", 10 * _GBIT * 1448 / 1538, 40e-6),
        # TCP over 100 GbE: best reported 4-5 GB/s (NVIDIA/nccl issue 450), not the wire's 12.5.
        Links("ethernet-100g-tcp", bits(4.5 * GB), 40e-6),
        # RoCE or InfiniBand with GPU-direct: 12.2 GB/s (NVIDIA/nccl-tests issue 29).
        Links("rdma-100g", bits(12.2 * GB), 14e-6),
        # x16, effective GB/s one way as in NCCL's tuning constants (12, 24); PCIe 5 as measured
        # between host and device (55). Latency: NCCL's hop over PCIe, Simple protocol.
        Links("pcie-3", bits(12 * GB), 5.7e-6),
        Links("pcie-4", bits(24 * GB), 5.7e-6),
        Links("pcie-5", bits(55 * GB), 5.7e-6),
        # GPU-to-GPU GB/s one way as measured by peer copies (NVLink 4: 376-396) or bus bandwidth
        # of an all-reduce (NVLink 3: 235); NCCL's NVLink hop, Simple protocol.
        Links("nvlink-3", bits(235 * GB), 3.4e-6),
        Links("nvlink-4", bits(385 * GB), 3.4e-6),
        Links("infinite", math.inf),
    )
}


def network(name: str) -> Links:
    """The preset of this name; raises InputError with the nearest one on a miss."""
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    return NETWORKS[name]
