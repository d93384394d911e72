"""Machines by name: GPUs in PCIe slots or on NVLink, as graphs that say where traffic meets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from simnet.network.graph import Graph
from simnet.network.machine_published import PUBLISHED
from simnet.network.machines import Like, hosts, like, nvswitch_machine, pcie_machine
from traces.units import GB, bits

# Latencies of a pair of GPUs are NCCL's hops (Simple protocol), half of it at each end.
_PCIE_HOP_S, _NVLINK_HOP_S = 5.7e-6, 3.4e-6
_HOP = "NCCL's hop over PCIe, Simple protocol, half at each end"
# A copy out of one GPU and into another without peer-to-peer: 12-17 us, half at each crossing.
_STAGED_MESSAGE_S = 15e-6
_STAGED_MESSAGE = "12-17 us for a copy between GPUs without peer-to-peer, here 15"
_ACROSS_LATENCY_S = 0.5e-6  # between sockets; estimate, little beside the hop


class Generation(NamedTuple):
    """GB/s of what is built around one generation of PCIe x16."""

    slot: float  # each way, GPU to GPU
    staged: float  # each way, by way of host memory
    memory: float  # of one socket, reads and writes together
    across: float  # each way, between sockets
    sources: dict[str, str]


_GENERATIONS = {
    3: Generation(
        12,
        9,
        100,
        10,
        {
            "slot": "NCCL's tuning constant for x16",
            "staged": "estimate: as much of the slot as on PCIe 4",
            "memory": "78 % of six channels of DDR4-2666, as STREAM reaches on that generation",
            "across": "NCCL's constant for UPI up to Ice Lake; 6 before Skylake, 16 on AMD",
        },
    ),
    4: Generation(
        24,
        18,
        160,
        10,
        {
            "slot": "NCCL's tuning constant for x16; about 26 measured between RTX 4090s",
            "staged": "all-to-all and all-reduce of 4 RTX 4090 without peer-to-peer (NVIDIA/nccl "
            "issue 1603); copies between two RTX 3090 only 3-4.3 (issue 1127)",
            "memory": "estimate: 78 % of eight channels of DDR4-3200, as STREAM reaches on "
            "servers of the generation before",
            "across": "NCCL's constant for UPI up to Ice Lake; 16 on AMD",
        },
    ),
    5: Generation(
        55,
        35,
        280,
        28,
        {
            "slot": "host to device as measured: 55.4 on H200",
            "staged": "all-reduce of 4 RTX 5090, which have no peer-to-peer (NVIDIA/nccl issue "
            "1639)",
            "memory": "estimate: 78 % of eight channels of DDR5-5600",
            "across": "inferred: all-reduce of 8 RTX 5090 in the same report; NCCL's constants "
            "are 22 and 40 for newer UPI",
        },
    ),
}


def _pcie(
    generation: int, *, staged: bool, sockets: int, name: str = "", across: float | None = None
) -> Graph:
    """8 GPUs; between sockets as is usual, or so many GB/s."""
    of = _GENERATIONS[generation]
    kind = "staged" if staged else "p2p"
    usual = f"pcie-{generation}-{kind}" + ("-two-sockets" if sockets == 2 else "")
    between = like(bits((across or of.across) * GB), _ACROSS_LATENCY_S)
    memory = like(bits(of.memory * GB), message_s=_STAGED_MESSAGE_S / 2, half_duplex=True)
    limits = {"slots": of.sources["staged" if staged else "slot"], "latency": _HOP}
    if staged:
        limits |= {"memory": of.sources["memory"], "message": _STAGED_MESSAGE}
    if sockets == 2:
        limits |= {"across": of.sources["across"]}
    return pcie_machine(
        name or usual,
        8,
        _slot(of.staged if staged else of.slot),
        memory=memory if staged else None,
        across=between if sockets == 2 else None,
        source=limits,
    )


def _slot(gbytes: float) -> Like:
    return like(bits(gbytes * GB), _PCIE_HOP_S / 2, pcie=True)


def _generations() -> Iterator[Graph]:
    for generation in _GENERATIONS:
        for staged in (False, True):
            for sockets in (1, 2):
                yield _pcie(generation, staged=staged, sockets=sockets)


# 4 L20 as CompactFusion had, with its fast paths on. Other people's Ulysses on L20 moves 22 GB/s
# for each of 2 GPUs and 14 for each of 4: as if a root complex passed on 56 in all.
_L20 = pcie_machine(
    "l20-pcie4",
    4,
    _slot(24),
    root_bps=bits(56 * GB),
    source={
        "slots": _GENERATIONS[4].sources["slot"],
        "root0": "inferred from published all-to-alls on L20 (cache-dit): 22 GB/s for each of 2 "
        "GPUs, 14 for each of 4; other boxes differ, CogVideoX1.5 has 10 at 4 and 14 at 8",
        "latency": _HOP,
        "machine": "4 L20 on one root complex, as CompactFusion's; for its emulated Ethernet see "
        "shared-bucket-16g",
    },
)

# One constant is fitted: with 12.7 GB/s between sockets, all-to-alls take 73.3 % of a synchronous
# DiT-MoE-XL at batch 16, in float32 on the wire, as DICE reports.
_4090 = _pcie(4, staged=True, sockets=2, name="8x4090-pcie", across=12.7)
_4090 = replace(
    _4090,
    source={
        **_4090.source,
        "across": "fitted to one number of DICE's: all-to-alls take 73.3 % of the synchronous run "
        "at batch 16; NCCL's constants are 10 for Intel's UPI and 16 for AMD",
        "machine": "8 RTX 4090 on two sockets, which reach each other through host memory only, "
        "as DICE's may have been; its paper names the GPUs and not the board",
    },
)

# Two hosts of 8 L40, as xDiT has published: between them rings of messages move 1.1-1.5 GB/s,
# all-reduces 2.0-2.4, all-gathers of keys and values 2.45-2.51.
_L40_HOSTS = hosts(
    "2x8xl40-ethernet-100g",
    2,
    _pcie(4, staged=False, sockets=2),
    like(bits(2.4 * GB), 20e-6),
    {
        "slots": _GENERATIONS[4].sources["slot"],
        "across": _GENERATIONS[4].sources["across"],
        "card": "inferred from published runs on 16 L40 (xDiT): 1.1-2.5 GB/s, here 2.4; the wire "
        "has 12.5",
        "latency": "40 us over TCP, half at each card",
    },
)


def _nvswitch(name: str, gbytes: float, rate: str) -> Graph:
    source = {
        "rate": rate,
        "latency": "NCCL's hop over NVLink, Simple protocol, half at each end",
    }
    return nvswitch_machine(name, 8, like(bits(gbytes * GB), _NVLINK_HOP_S / 2), source)


MACHINES: tuple[Graph, ...] = (
    *_generations(),
    *PUBLISHED,
    _L20,
    _4090,
    _nvswitch("8xa100-nvlink3", 235, "bus bandwidth of an all-reduce on A100"),
    _nvswitch("8xh100-nvlink4", 385, "peer copies as measured: 376-396 GB/s each way"),
    _nvswitch("8xb200-nvlink5", 722, "NCCL's 40.1 GB/s a link, 18 links; not measured"),
    _L40_HOSTS,
)
