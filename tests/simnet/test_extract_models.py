"""The models of diffusers, extracted: against known numbers, our presets and our schedules."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from simnet.counting import count
from simnet.extract.noted import Part
from simnet.extract.public import FAMILIES, DiffusersModel, Parallel, full_name
from simnet.extract.team import forward, forwards
from simnet.extract.volume import Volume, volumes
from simnet.job import Job
from simnet.schedules.named import schedule
from traces.errors import InputError

pytest.importorskip("diffusers", reason="extracts models of diffusers, which is optional")

#: FLUX.1-dev cut short, at full width.
SMALL = "flux.1-dev:layers=3:single=2:width=256:height=256:text=64"


def shared(name: str, **degrees: int) -> DiffusersModel:
    """A model on so many ranks."""
    return DiffusersModel(name, Parallel(**degrees))


def claimed(name: str, text: str, ranks: int) -> int:
    """What our schedule puts on the wire in a step, on each rank."""
    return schedule(text).claims(Job(name, ranks=ranks, steps=1, dtype="bfloat16")).wire_bytes[0]


def wire_bytes(volume: Volume, kind: str) -> int:
    """Of all transfers of a kind."""
    return sum(sent.wire_bytes for sent in volume.sent if sent.kind == kind)


def last_gather(part: Part, ranks: int) -> int:
    """Bytes on the wire by which every rank gets the whole output, which our ranks do not need."""
    gather = part.exchanges[-1]
    assert gather.kind == "all_gather"
    return (ranks - 1) * gather.nbytes


@pytest.mark.parametrize("ranks", [2, 4])
def test_ulysses_sends_what_our_schedule_claims(ranks: int) -> None:
    """Four all-to-alls a layer, and at the end the output to everyone."""
    parts = forwards(shared(SMALL, ulysses=ranks), ranks)
    for part, volume in zip(parts, volumes(parts), strict=True):
        kinds = Counter(exchange.kind for exchange in part.exchanges)
        assert kinds == {"all_to_all": 3 * 4, "all_gather": 1}
        assert wire_bytes(volume, "all_to_all") == claimed(SMALL, "ulysses", ranks)
        assert wire_bytes(volume, "all_gather") == last_gather(part, ranks)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ring_sends_what_our_schedule_claims(ranks: int) -> None:
    """One all-gather of keys and values a layer is as much as n - 1 hops of them."""
    parts = forwards(shared(SMALL, ring=ranks), ranks)
    for part, volume in zip(parts, volumes(parts), strict=True):
        gathered = wire_bytes(volume, "all_gather") - last_gather(part, ranks)
        assert gathered == claimed(SMALL, "ring", ranks)


def test_both_together_send_what_our_schedule_claims() -> None:
    """Unified sequence parallelism, in groups of their own; each rank as if it were run."""
    subject = shared(SMALL, ring=2, ulysses=2)
    parts = forwards(subject, 4)
    assert parts == [forward(subject, rank, 4) for rank in range(4)]
    groups = [{exchange.group.ranks for exchange in part.exchanges} for part in parts]
    assert groups[1] == {(0, 1), (1, 3), (0, 1, 2, 3)}
    sent = [sum(each.wire_bytes for each in volume.sent) for volume in volumes(parts)]
    expected = claimed(SMALL, "usp:ulysses=2", 4) + last_gather(parts[0], 4)
    assert sent == [expected] * 4


def test_shares_of_the_arithmetic_add_up() -> None:
    """Ranks of a ring compute what one would, but for what all of them work out for themselves."""
    [alone] = forwards(shared(SMALL), 1)
    each = forwards(shared(SMALL, ring=4), 4)[0]
    outside = next(stretch for stretch in each.noted if stretch.layer < 0)
    assert 4 * each.flop == pytest.approx(alone.flop, rel=0.05)
    assert outside.name == "FluxTransformer2DModel.0"


@pytest.mark.parametrize(
    ("degrees", "calls", "megabytes"),
    [
        ({"ulysses": 8}, {"all_to_all": 228, "all_gather": 1}, 806.9),
        ({"ring": 8}, {"all_gather": 58}, 403.5),
    ],
)
@pytest.mark.slow
def test_full_flux_on_8_ranks(
    degrees: dict[str, int], calls: dict[str, int], megabytes: float
) -> None:
    """As known from elsewhere: calls and payload of each rank in one forward."""
    subject = shared("flux", **degrees)
    part = forward(subject, 0, 8)
    assert subject.model == "flux.1-dev"
    assert Counter(exchange.kind for exchange in part.exchanges) == calls
    nbytes = sum(exchange.nbytes for exchange in part.exchanges)
    assert nbytes / 1e6 == pytest.approx(megabytes, abs=0.05)
    assert 8 * part.flop == pytest.approx(_flop("flux.1-dev"), rel=0.001)


def _flop(name: str) -> int:
    job = Job(name, dtype="bfloat16", device="meta")
    _, kernels = count(job.model, (job.latent, job.time(0), job.label))
    return sum(kernel.flop for kernel in kernels)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_takes_the_arithmetic_of_our_preset(name: str) -> None:
    """Of every model that can be extracted, whole, within 0.2 %."""
    [part] = forwards(shared(name), 1)
    assert part.exchanges == []
    assert part.dtype == "bfloat16"
    assert part.flop == pytest.approx(_flop(name), rel=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "degrees", "text"),
    [
        ("wan2.1-1.3b:layers=2", {"ulysses": 4}, "ulysses"),
        ("wan2.1-1.3b:layers=2", {"ring": 2, "ulysses": 2}, "usp:ulysses=2"),
        ("qwen-image:layers=2", {"ulysses": 8}, "ulysses"),
        ("qwen-image:layers=2", {"ring": 4}, "ring"),
    ],
)
def test_other_models_with_a_plan_send_what_our_schedule_claims(
    name: str, degrees: dict[str, int], text: str
) -> None:
    """To the byte, on every rank; all ranks ask for the same."""
    subject = shared(name, **degrees)
    ranks = subject.parallel.ranks
    parts = forwards(subject, ranks)
    assert len({tuple(kinds(part)) for part in parts}) == 1
    for part, volume in zip(parts, volumes(parts), strict=True):
        sent = sum(each.wire_bytes for each in volume.sent)
        assert sent - last_gather(part, ranks) == claimed(name, text, ranks)


def kinds(part: Part) -> list[Any]:
    """What a rank asks for, and in which layer."""
    return [(exchange.kind, exchange.layer) for exchange in part.exchanges]


def test_names_may_be_cut_short() -> None:
    """The first that begins so is meant; what follows a colon stays."""
    assert full_name("flux") == "flux.1-dev"
    assert full_name("wan:frames=9") == "wan2.1-1.3b:frames=9"
    assert full_name("wan2.1-14b") == "wan2.1-14b"
    with pytest.raises(InputError, match="unknown model of diffusers 'dit-tiny'"):
        full_name("dit-tiny")


@pytest.mark.parametrize(
    ("name", "degrees", "complaint"),
    [
        (SMALL, {"ulysses": 5}, "has 24 heads, which ulysses=5 cannot share evenly"),
        ("sd3:layers=1", {"ring": 2}, "diffusers has no plan for sharing sd3-medium:layers=1"),
        (SMALL, {"ring": 3}, "its forward fails without data: AssertionError"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    name: str, degrees: dict[str, int], complaint: str
) -> None:
    """By us where we know, else in diffusers' own words."""
    with pytest.raises(InputError, match=complaint):
        forwards(shared(name, **degrees), Parallel(**degrees).ranks)
