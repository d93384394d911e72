"""Machines whose speed is known from what others published of them, with NCCL's collectives."""

from __future__ import annotations

from dataclasses import replace

from simnet.network.collectives.nccl import Nccl
from simnet.network.graph import Graph
from simnet.network.machines import like, nvswitch_machine, pcie_machine
from traces.units import GB, bits

_PCIE_HOP_S, _NVLINK_HOP_S = 5.7e-6, 3.4e-6  # NCCL's, Simple protocol; half of it at each end
_HOP = "NCCL's hop, Simple protocol, half at each end"
_FITTED = "fitted to the fitted half of the published record (docs/accuracy.md)"
_CONTENTION = (
    "of a slot's side that messages of several GPUs converge on: an all-to-all meets it, a ring "
    "does not; "
)


def _pcie(name: str, gpus: int, gbytes: float, contention: float, what: str) -> Graph:
    """Each GPU in a slot, which carries so much each way, and less where messages converge."""
    slot = like(bits(gbytes * GB), _PCIE_HOP_S / 2, pcie=True, contention=contention)
    source = {
        "slots": _FITTED,
        "contention": _CONTENTION + _FITTED,
        "latency": _HOP,
        "machine": what,
    }
    return replace(pcie_machine(name, gpus, slot, source=source), collectives=Nccl())


def _nvlink(name: str, gbytes: float, rate: str) -> Graph:
    """GPUs on NVSwitch, where one message has only some of NCCL's channels."""
    nvlink = like(bits(gbytes * GB), _NVLINK_HOP_S / 2, flow_bps=bits(_PAIR * GB))
    source = {
        "rate": rate,
        "per_flow": "channels that NCCL gives to a pair of GPUs; " + _FITTED,
        "latency": _HOP,
    }
    return replace(nvswitch_machine(name, 8, nvlink, source), collectives=Nccl())


#: GB/s of one message between two GPUs on NVLink.
_PAIR = 60

PUBLISHED: tuple[Graph, ...] = (
    _pcie(
        "8xl40-pcie4-bridge", 8, 20, 3.0, "8 L40 of xDiT's charts of PixArt, FLUX and HunyuanDiT"
    ),
    _pcie("8xl40-pcie4", 8, 20, 0.2, "L40 of xDiT's chart of CogVideoX, and of mochi-xdit"),
    _pcie("4xl20-pcie4-bridge", 4, 14, 1.0, "4 L20 of xDiT's table of HunyuanVideo"),
    _pcie("8xl20-pcie4", 8, 20, 0.05, "8 L20 of xDiT's chart of CogVideoX1.5"),
    _pcie("8xh20-pcie4-bridge", 8, 20, 2.2, "8 H20 of xDiT's chart of CogVideoX1.5"),
    _pcie("4xa100-pcie4", 4, 8, 0.1, "4 A100 of PipeFusion's first charts"),
    _pcie("4xt4-pcie3", 4, 8, 0.1, "4 T4 of PipeFusion's first charts"),
    _pcie("8x4090-pcie4-bridge", 8, 6, 0.25, "RTX 4090 of Wan's tables, without peer-to-peer"),
    _nvlink("8xv100-nvlink2-nccl", 120, "NCCL's 20 GB/s a link, 6 links"),
    _nvlink("8xa100-nvlink3-nccl", 235, "bus bandwidth of an all-reduce on A100"),
    _nvlink("8xh100-nvlink4-nccl", 385, "peer copies as measured: 376-396 GB/s each way"),
    _nvlink("8xb200-nvlink5-nccl", 722, "NCCL's 40.1 GB/s a link, 18 links; not measured"),
)
