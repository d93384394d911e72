"""DICE's published speedups and memory, from a roofline, a machine, and one fitted constant."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.memory import Memory
from simnet.network.presets import network
from simnet.schedules.named import schedule
from traces.summary import summarize
from traces.trace import Trace

XL, RANKS = "dit-moe-xl", 8


@cache
def predicted(text: str, steps: int) -> Trace:
    """On DICE's machine, at 16 images a GPU."""
    job = Job(XL, RANKS, steps, "bfloat16", images=16)
    return simulate(schedule(text), job, Roofline(device("rtx4090")), network("8x4090-pcie"))


def speedup(text: str, steps: int) -> float:
    """Over the synchronous run."""
    alone = summarize(predicted("expert", steps)).total_s
    return alone / summarize(predicted(text, steps)).total_s


def test_the_fitted_constant_gives_the_share_of_all_to_alls() -> None:
    """73.3 % of the synchronous run's time, to which the rate between sockets is fitted."""
    trace = predicted("expert", 3)
    waits = trace.ops.query("rank == 0 and kind == 'wait' and name in ('dispatch', 'combine')")
    share = (waits["end_s"] - waits["start_s"]).sum() / summarize(trace).total_s
    assert share == pytest.approx(0.733, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "steps", "published"),
    [("displaced-expert", 20, 1.33), ("dice", 20, 1.24), ("dice", 50, 1.26)],
)
def test_speedups_are_within_five_percent(text: str, steps: int, published: float) -> None:
    """Of Luo et al. 2025 (DICE); nothing is fitted to them."""
    assert speedup(text, steps) == pytest.approx(published, rel=0.05)


@pytest.mark.slow
def test_interweaving_costs_nothing() -> None:
    """It takes the time that displacing takes, and halves the age; the order is the paper's."""
    assert speedup("interweaved", 20) == pytest.approx(speedup("displaced-expert", 20), rel=1e-3)
    times = [speedup(text, 20) for text in ("displaced-expert", "dice", "interweaved:sync=deep")]
    assert all(faster > slower for faster, slower in pairwise(times))


@pytest.mark.parametrize(
    ("text", "model", "images", "fits"),
    [
        ("distrifusion", XL, 16, True),
        ("distrifusion", XL, 32, False),
        ("distrifusion", "dit-moe-g", 4, False),
        ("expert", "dit-moe-g", 32, True),
        ("displaced-expert", XL, 32, True),
        ("interweaved", "dit-moe-g", 16, True),
    ],
)
def test_what_fits_in_24_gb(text: str, model: str, images: int, *, fits: bool) -> None:
    """With so many images a GPU: DistriFusion's buffers do not shrink with ranks, nor its weights.

    Sequence-parallel ranks denoise all GPUs' images together.
    """
    together = images * (RANKS if text == "distrifusion" else 1)
    job = Job(model, RANKS, 3, "float16", device="meta", images=together)
    assert Memory.of(schedule(text), job, device("rtx4090").memory_bytes).fits == fits


def test_rows_kept_are_the_facts_gigabytes() -> None:
    """4.23 GB displaced, 2.11 interweaved at 16 images, and a hundredth more to know whose.

    Of 28 layers one more is kept by interweaving, after a synchronous step.
    """
    for text, gigabytes in (("displaced-expert", 4.23), ("interweaved", 2.11 * 29 / 28)):
        job = Job(XL, RANKS, 3, "float16", device="meta", images=16)
        kept = schedule(text).claims(job).kept_bytes[0]
        assert kept == pytest.approx(gigabytes * 1e9, rel=0.01)
