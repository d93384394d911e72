"""Finds the GPU and the network that a published row names: one machine for each kind of box."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import NamedTuple

from simnet.devices import DEVICES, Device
from simnet.network.graph import Graph
from simnet.network.machines import hosts, like
from simnet.network.presets import NETWORKS
from simnet.network.topology import Topology
from simnet.validation.published.models import NotRepresented
from simnet.validation.published.table import Row
from traces.units import GB, bits


class Machine(NamedTuple):
    """What a row ran on."""

    device: Device
    network: Topology
    kind: str  # of link, for tables: "PCIe", "NVLink", "several nodes"


#: What a GPU's name has in it, and the device that it is; the first that fits.
_GPUS = (
    (r"gb300|b300", "b300"),
    (r"gb200", "gb200"),
    (r"b200", "b200"),
    (r"h200", "h200"),
    (r"h(1|8)00(?!\d).*pcie", "h100-pcie"),
    (r"h(1|8)00(?!\d)", "h100-sxm"),
    (r"h20(?!\d)", "h20"),
    (r"a(1|8)00(?!\d).*pcie", "a100-pcie"),
    (r"a(1|8)00(?!\d)", "a100-sxm"),
    (r"l40s", "l40s"),
    (r"l40", "l40"),
    (r"l20", "l20"),
    (r"l4(?!\d)", "l4"),
    (r"5090", "rtx-5090"),
    (r"4090|48g.*rtx ?40", "rtx-4090"),
    (r"3090", "rtx-3090"),
    (r"2000 ?ada", "rtx-2000-ada"),
    (r"6000 ?ada", "rtx-6000-ada"),
    (r"a6000", "rtx-a6000"),
    (r"a5000", "rtx-a5000"),
    (r"a40(?!\d)", "a40"),
    (r"a10g?(?!\d)", "a10"),
    (r"v100", "v100-sxm"),
    (r"(?<![a-z])t4", "t4"),
)

#: Boxes that are known to differ from what their GPU and link say: (source has, GPU, network).
_KNOWN = (
    (r"cogvideox1\.5", "h20", "8xh20-pcie4-bridge"),
    (r"cogvideox1\.5", "l20", "8xl20-pcie4"),
    (r"performance/hunyuanvideo", "l20", "4xl20-pcie4-bridge"),
    (r"cogvideo|mochi", "l40", "8xl40-pcie4"),
)
#: By GPU, where it is joined by PCIe.
_PCIE = {
    "l40": "8xl40-pcie4-bridge",
    "l20": "8xl20-pcie4",
    "a100-pcie": "4xa100-pcie4",
    "t4": "4xt4-pcie3",
    "rtx-4090": "8x4090-pcie4-bridge",
}
_GENERATIONS = {"3": "pcie-3-p2p", "4": "8xl20-pcie4", "5": "pcie-5-p2p"}
_STAGED = "8x4090-pcie4-bridge"
_NVLINK = {
    "2": "8xv100-nvlink2-nccl",
    "3": "8xa100-nvlink3-nccl",
    "4": "8xh100-nvlink4-nccl",
    "5": "8xb200-nvlink5-nccl",
}
#: By how a GPU's name begins, its NVLink, where the link does not say which.
_NVLINK_OF = {"v100": "2", "a": "3", "rtx": "3", "h": "4", "b": "5", "g": "5"}
_SLOW = {
    r"(?<!\d)1 ?gb?e|ethernet-?1g": "ethernet-1g",
    r"(?<!\d)10 ?gb?e|ethernet-?10g": "ethernet-10g",
}
_FAST = r"\d ?gb?e\b|ethernet|infiniband|\bib\b|roce"
_MOST_GPUS = 64
_NODES = r"\bnodes\b|\b(multi|[2-9])[- ]?node\b"
#: Between hosts: published runs on 16 L40 come to 1.1-2.5 GB/s over TCP, here 2.4 for a host.
_CARD = like(bits(2.4 * GB), 20e-6)


def machine(row: Row) -> Machine:
    """What a row ran on; raises NotRepresented with a reason."""
    if row.ngpu > _MOST_GPUS:
        raise NotRepresented(f"more than {_MOST_GPUS} GPUs")
    device = _device(row.gpu)
    name, kind = _network(row, device)
    network = NETWORKS[name]
    places = network.places if isinstance(network, Graph) else row.ngpu
    if row.ngpu > places or re.search(_NODES, row.notes.lower()):
        if kind != "PCIe" or not isinstance(network, Graph):
            raise NotRepresented(f"several nodes of {row.gpu}, joined by an unstated network")
        network, kind = _cluster(network, row.ngpu), "several nodes"
    return Machine(device, network, kind)


def _cluster(host: Graph, gpus: int) -> Graph:
    """As few hosts as will do, with as many GPUs in each."""
    count = max(2, math.ceil(gpus / host.places))
    if gpus % count:
        raise NotRepresented(f"{gpus} GPUs in {count} nodes, unevenly")
    whole = hosts(f"{count} x {host.name}", count, host, _CARD, host.source)
    each = host.places
    ranks = [whole.ranks[node * each + n] for node in range(count) for n in range(gpus // count)]
    return replace(whole, ranks=tuple(ranks), collectives=host.collectives)


def _device(gpu: str) -> Device:
    plain = gpu.lower().replace("-", " ").replace("_", " ")
    for pattern, name in _GPUS:
        if re.search(pattern, plain) or re.search(pattern, plain.replace(" ", "")):
            return DEVICES[name]
    if gpu.lower().startswith("n/s") or not gpu:
        raise NotRepresented("GPU not stated")
    raise NotRepresented(f"no rates here of the GPU {gpu}")


def _network(row: Row, device: Device) -> tuple[str, str]:
    """Its name and kind."""
    link = row.link.lower()
    for pattern, name in _SLOW.items():
        if re.search(pattern, link):
            return name, "Ethernet"
    if re.search(_FAST, link):
        raise NotRepresented(f"no rates here of link {row.link}")
    joined = re.search(r"(?<!no )(?:nvlink|nvswitch)", link) or re.search(r"pcie|no nvlink", link)
    if joined is None:
        unstated = link in ("", "none", "n/s")
        raise NotRepresented("link not stated" if unstated else f"no rates here of link {row.link}")
    for pattern, gpu, name in _KNOWN:
        if device.name == gpu and re.search(pattern, row.source.lower()):
            return name, "PCIe"
    found = re.match(r"[ -]*(?:gen ?)?(\d)", link[joined.end() :])
    generation = found[1] if found else ""
    if joined[0] in ("nvlink", "nvswitch"):
        usual = next((of for gpu, of in _NVLINK_OF.items() if device.name.startswith(gpu)), "5")
        return _NVLINK.get(generation or usual, _NVLINK["5"]), "NVLink"
    usual = _GENERATIONS.get(generation or "4", "8xl20-pcie4")
    if "no p2p" in link or "staged" in link:
        usual = _STAGED
    return _PCIE.get(device.name, usual), "PCIe"
