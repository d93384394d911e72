"""Every schedule does what it claims: bytes on the wire, ages, and what it keeps between steps."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import accumulate
from types import FrameType, FunctionType, ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from analysis.staleness import age_map
from simnet.costs import Free, Roofline
from simnet.devices import device
from simnet.drivers.engine import play
from simnet.drivers.hardware import compute_threads
from simnet.drivers.local import programs, timed
from simnet.drivers.matching import Ticket
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS, network
from simnet.ops import At, Program
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import Gathers
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.named import SCHEDULES, schedule
from simnet.schedules.stage import Stage
from simnet.schedules.wire import Coded
from traces.errors import InputError

MODELS = ("dit-nano", "mmdit-tiny", "mmdit-tiny:text=10", "crossdit-tiny", "skipdit-tiny")
SIMULATED = ("dit-nano", "mmdit-tiny:text=10", "crossdit-tiny")
STEPS = 4
PLAIN = (
    "single",
    "ring",
    "ulysses",
    "usp:ulysses=1",
    "usp",
    "usp:ulysses=4",
    "patch",
    "distrifusion",
    "distrifusion:warmup_steps=2:layers=2",
    "distrifusion:warmup_steps=9",
    "pipefusion",
    "pipefusion:patches=1",
    "pipefusion:patches=6:warmup_steps=2",
    "pipefusion:warmup_steps=9",
    "tensor",
    "cfg+ring",
    "cfg+pipefusion",
    "cfg+tensor",
    "data+ulysses",
    "data+cfg+patch",
)
CODED = (
    *(
        f"{text}/{codec}"
        for text in ("ring", "ulysses", "usp", "patch", "distrifusion", "pipefusion", "cfg+ring")
        for codec in ("1bit", "residual-1bit", "residual2-lowrank-int4:rank=4")
    ),
    *(  # not distrifusion: what came raw is message and base at once there, and claimed as both
        f"{text}/{codec}:warmup_steps=9"
        for text in ("ring", "ulysses", "usp", "patch", "pipefusion")
        for codec in ("residual-1bit", "residual2-2bit")
    ),
)
#: Of one rank.
ALONE = ("ring", "ulysses", "usp", "usp:ulysses=4", "patch", "distrifusion", "pipefusion")


def fitting(texts: tuple[str, ...], models: tuple[str, ...]) -> Iterator[tuple[str, str, int]]:
    """Every combination with 1, 2 or 4 ranks that the schedule does not refuse."""
    for text in texts:
        for model in models:
            for ranks in (1, 2, 4):
                try:
                    schedule(text).check(Job(model, ranks, STEPS))
                except InputError:
                    continue
                if ranks > 1 or text == "single":
                    yield text, model, ranks


CASES = [
    *fitting(PLAIN, MODELS),
    *fitting(CODED, ("mmdit-tiny:text=10", "crossdit-tiny")),
    *(
        (f"{text}/{codec}", "mmdit-tiny", 1)
        for text in ALONE
        for codec in ("1bit", "residual-1bit")
    ),
]


def reachable(root: object, kinds: tuple[type, ...]) -> Iterator[Any]:
    """Objects of some kinds that a rank's generator holds on to, itself or through others.

    Not through tickets, which lead to other ranks.
    """
    elsewhere = type, ModuleType, FrameType, nn.Module, Ticket, Tensor
    seen: set[int] = set()
    todo = [root]
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, elsewhere):
            continue
        seen.add(id(each))
        if isinstance(each, kinds):
            yield each
        inner = each.__closure__ or () if isinstance(each, FunctionType) else ()
        todo += inner if isinstance(each, FunctionType) else gc.get_referents(each)


def tensors(value: object) -> Iterator[Tensor]:
    """All in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)


def kept_bytes(holders: list[Any]) -> int:
    """Bytes of the activations that a rank has kept; those that begin at one place are one."""
    sizes: dict[int, int] = {}
    for holder in holders:
        if isinstance(holder, Coded):
            held: object = [holder.sent, holder.received]
        elif isinstance(holder, Gathers):
            tickets: list[Any] = [gathered.ticket for gathered in holder.latest.values()]
            held = [holder.taken, holder.ready, *(ticket.value for ticket in tickets)]
        else:
            held = holder.seen
        for tensor in tensors(held):
            sizes[tensor.data_ptr()] = max(tensor.nbytes, sizes.get(tensor.data_ptr(), 0))
    return sum(sizes.values())


def watched(program: Program, holders: list[Any]) -> Program:
    """The same program; `holders` gets what it keeps activations in."""
    value: Any = None
    while True:
        try:
            op = program.send(value)
        except StopIteration as stop:
            return stop.value
        if isinstance(op, At) and op.step == STEPS - 1 and not holders:
            holders += reachable(program, (Coded, Gathers, Stage))
        value = yield op


@pytest.mark.parametrize(("text", "model", "ranks"), CASES)
def test_a_schedule_does_what_it_claims(
    text: str,
    model: str,
    ranks: int,
    job: Callable[[str, int, int], Job],
    single_device: Callable[[Job], Tensor],
) -> None:
    """In a run on real tensors, of which each rank's volume and what it has kept are counted.

    The result is the single device's, up to rounding, just where no activation is said to be old.
    """
    chosen, asked = schedule(text), job(model, ranks, STEPS)
    claims = chosen.claims(asked)
    holders: list[list[Any]] = [[] for _ in range(ranks)]
    ranks_programs = list(map(watched, programs(chosen, asked), holders))
    with torch.inference_mode(), compute_threads(ranks):
        operations, parts = play(ranks_programs, STEPS, timed, NETWORKS["infinite"], Observer())
    sent = [sum(op.wire_bytes for op in operations if op.rank == rank) for rank in range(ranks)]
    assert sent == list(claims.wire_bytes)
    assert list(map(kept_bytes, holders)) == list(claims.kept_bytes)
    images = [asked.variant(number=image) for image in range(2 if text.startswith("data") else 1)]
    expected = torch.cat([single_device(image) for image in images], dim=1)
    latent = torch.cat(parts, dim=1)
    assert latent.shape == expected.shape
    if "/" not in text:
        same = torch.allclose(latent, expected, rtol=1e-4, atol=1e-4)
        assert same == (not any(claims.ages))


@pytest.mark.parametrize(
    ("text", "model", "ranks"), [case for case in CASES if case[1] in SIMULATED]
)
def test_a_simulation_counts_what_is_claimed(text: str, model: str, ranks: int) -> None:
    """Bytes of every rank; where keys and values travel, their age in every step and layer."""
    chosen, asked = schedule(text), Job(model, ranks, STEPS)
    claims = chosen.claims(asked)
    trace = simulate(chosen, asked, Free(), network("infinite"))
    assert trace.ops.groupby("rank")["wire_bytes"].sum().tolist() == list(claims.wire_bytes)
    assert len(claims.ages) == STEPS
    waits = trace.ops[trace.ops["kind"] == "wait"]
    if "kv" in set(waits["name"]):
        ages = age_map(trace, "kv")
        assert ages.sizes == {"rank": ranks, "step": STEPS, "layer": asked.preset.layers}
        for step, age in enumerate(claims.ages):
            assert (ages.isel(step=step) == age).all()


@pytest.mark.parametrize(
    ("text", "model", "images"),
    [
        ("data+data+single", "mmdit-tiny", 4),
        ("data:images=3+data+single", "dit-nano", 6),
        ("data+cfg+data+single", "crossdit-tiny", 4),
    ],
)
def test_teams_within_teams_make_different_images(
    text: str,
    model: str,
    images: int,
    denoise: Callable[[Schedule, Job], Tensor],
    single_device: Callable[[Job], Tensor],
) -> None:
    """As many as there are teams, in their order: those that one device would make."""
    alone = Job(model, 1, STEPS).with_model()
    asked = alone.variant(ranks=2 * images if "cfg" in text else images)
    expected = [single_device(alone.variant(number=number)) for number in range(images)]
    made = denoise(schedule(text), asked)
    torch.testing.assert_close(made, torch.cat(expected, dim=1), rtol=1e-4, atol=1e-4)
    parts = made.chunk(images, dim=1)
    for number, part in enumerate(parts):
        assert not any(torch.allclose(part, other, atol=0.1) for other in parts[:number])


def test_every_schedule_is_tried_on_every_model_that_it_takes() -> None:
    """Of 2 or 4 ranks; guidance of two forwards is needed for cfg. Experts have their own tests."""
    tried = {(name, model) for text, model, _ in CASES for name in text.split("+")}
    for name in [name for name, kind in SCHEDULES.items() if not issubclass(kind, ExpertSchedule)]:
        for model in MODELS if name != "cfg" else ("crossdit-tiny", "skipdit-tiny"):
            assert any(text.split(":")[0] == name and model == of for text, of in tried)


@pytest.mark.parametrize("text", [text for text in PLAIN if "cfg" not in text and text != "single"])
def test_on_an_infinite_network_a_run_takes_its_compute_alone(text: str) -> None:
    """To the bit, on every rank; but a pipeline's also wait, and shards for the one with biases."""
    chosen = schedule(text)
    model = "mmdit-tiny"
    trace = simulate(chosen, Job(model, 4, STEPS), Roofline(device("l20")), network("infinite"))
    for _, rows in trace.ops.groupby("rank"):
        *_, compute_s = accumulate(rows["cost_s"].dropna())  # in order, as a clock adds them up
        alone = rows["end_s"].max() == compute_s
        waits = text.startswith(("pipefusion", "tensor")) and rows["end_s"].max() > compute_s
        assert alone or waits
