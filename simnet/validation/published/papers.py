"""CompactFusion's latencies and DICE's speedups, predicted from one GPU and one machine."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from simnet.costs import Roofline, Scaled
from simnet.devices import Device, device
from simnet.job import Job
from simnet.network.presets import network
from simnet.network.topology import Topology
from simnet.schedules.named import on_gpu
from simnet.schedules.named import schedule as named
from simnet.validation.published.constants import CONSTANTS
from simnet.validation.published.figures import Bar, Figures, Pair, figures
from simnet.validation.published.predict import step_ends

_COMPACTFUSION = Path(__file__).parents[1] / "data" / "compactfusion_latency.csv"
_COMPACTFUSION_BAR = Bar(median=0.06, p90=0.12, tau=0.9)
_DICE_BAR = Bar(median=0.04, p90=0.06)

#: Speedups over the synchronous run with 16 images a GPU: Luo et al. 2025, section 5.
_SPEEDUPS = (("displaced-expert", 20, 1.33), ("dice", 20, 1.24), ("dice", 50, 1.26))

#: Steps that are simulated; the last but one is as the one two before.
_STEPS = 6


def compactfusion() -> Iterator[Figures]:
    """FLUX.1-dev on 4 L20, and over an emulated Ethernet, from the single GPU of each."""
    with _COMPACTFUSION.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    gpu = device("l20")
    over_pcie = replace(gpu, transfer_share=CONSTANTS.pcie_share)
    for suite, column, name, each in (
        ("compactfusion-l20", "l20_s", "l20-pcie4", over_pcie),
        ("compactfusion-ethernet", "ethernet_s", "shared-bucket-16g", gpu),
    ):
        seconds = {row["schedule"]: float(row[column]) for row in rows if row[column]}
        alone_s = seconds.pop("single")
        pairs = [
            Pair(suite, theirs_s, _flux_s(text, alone_s, each, network(name)))
            for text, theirs_s in seconds.items()
        ]
        yield figures(suite, pairs, _COMPACTFUSION_BAR)


def dice() -> Figures:
    """DiT-MoE-XL on 8 RTX 4090; the machine has one constant, fitted to another number."""
    cost, where = Roofline(device("rtx4090")), network("8x4090-pcie")
    job = Job("dit-moe-xl", 8, dtype="bfloat16", images=16)

    def seconds(text: str, steps: int) -> float:
        return _lasting(step_ends(job, named(text), _STEPS, cost, where), steps)

    pairs = [
        Pair("dice", theirs, seconds("expert", steps) / seconds(text, steps))
        for text, steps, theirs in _SPEEDUPS
    ]
    return figures("dice", pairs, _DICE_BAR)


def _flux_s(text: str, alone_s: float, gpu: Device, where: Topology) -> float:
    """28 steps on 4 GPUs in half precision, with what comes before and after them."""
    roofline = Roofline(gpu)
    job = Job("flux.1-dev:text=256", 4, 28, "float16")  # tokens as in the public benchmark
    outside_s = roofline.outside_s(job.preset)
    single = step_ends(replace(job, ranks=1), named("single"), 2, roofline, network("infinite"))
    factor = alone_s / (outside_s + job.steps * (single[1] - single[0]))
    cost = Scaled(roofline, factor)
    ends = step_ends(job, on_gpu(named(text)), _STEPS, cost, where)
    return factor * outside_s + _lasting(ends, job.steps)


def _lasting(ends: list[float], steps: int) -> float:
    """How long so many steps take, an even number more than were simulated."""
    return ends[-1] + (steps - len(ends)) / 2 * (ends[-2] - ends[-4])
