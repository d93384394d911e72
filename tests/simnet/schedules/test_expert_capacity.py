"""Experts with room for so many rows of each rank: which slots go, which are lost, what travels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from simnet.costs import Free
from simnet.drivers.engine import play
from simnet.drivers.local import programs, run_local, timed
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.models.mixture import permuted
from simnet.network.presets import NETWORKS
from simnet.schedules.expert.capacity import Capacity, emptied, filled, fit
from simnet.schedules.expert.slots import sort, whole
from simnet.schedules.named import schedule, spec

NANO = "dit-moe-nano"


class Dropped(Observer):
    """Which slots were lost, by rank, step and layer."""

    def __init__(self) -> None:
        self.slots: dict[tuple[int, int, int], Tensor] = {}

    def keep(self, rank: int, step: int, layer: int, name: str, value: Any) -> None:
        """See Observer."""
        if name == "dropped":
            self.slots[rank, step, layer] = value


def run(text: str, job: Job) -> tuple[list[Tensor], dict[tuple[int, int, int], Tensor]]:
    """What the ranks return, and what was lost."""
    chosen, seen = schedule(text), Dropped()
    chosen.check(job)
    with torch.inference_mode():
        _, parts = play(programs(chosen, job), job.steps, timed, NETWORKS["infinite"], seen)
    return parts, seen.slots


def lost(chosen: Tensor, scores: Tensor, room: int) -> list[tuple[int, int]]:
    """Tokens and slots for which their experts have no room; the best go, of equals the first."""
    left = []
    for expert in range(scores.shape[1]):
        wanting = [
            (t, s) for t, own in enumerate(chosen.tolist()) for s in (0, 1) if own[s] == expert
        ]
        wanting.sort(key=lambda slot: -scores[slot[0], expert].item())  # stable
        left += wanting[room:]
    return left


def reference(job: Job, capacity: float) -> Tensor:
    """One rank's images by itself, without the slots that are lost."""
    model: Any = job.model
    x = job.latent
    for step in range(job.steps):
        c = model.condition(job.time(step), job.label)
        h = model.embed(c, x, model.position)
        for block in model.blocks:
            q, kv, carry = block.project(h, c)
            out, _ = block.attend(q, kv)
            tokens, rows, scores, chosen = block.route(h, carry, out)
            everyone = torch.stack([expert(rows) for expert in block.experts])
            outputs = everyone[chosen, torch.arange(len(rows)).unsqueeze(1)]
            for slot in lost(chosen, scores, math.ceil(capacity * chosen.numel() / 8)):
                outputs[slot] = 0
            routed = (outputs * scores.gather(1, chosen).unsqueeze(2)).sum(dim=1)
            h = block.merge(tokens, rows, routed, carry)
        x = job.advance(x, model.head(h, c))
    return x


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(
    "text", ["expert", "displaced-expert:wire=float8", "interweaved:skip=random", "dice-released"]
)
def test_with_room_for_all_nothing_changes(text: str, ranks: int) -> None:
    """Nothing is lost; but a product of few rows may be rounded otherwise than among many."""
    job = Job(NANO, ranks, steps=5, images=2)
    exact, _ = run(text, job)
    parts, dropped = run(f"{text}:capacity=8", job)
    torch.testing.assert_close(parts, exact, rtol=1e-5, atol=1e-5)
    assert len(dropped) == ranks * job.steps * job.preset.layers
    assert not any(bool(slots.any()) for slots in dropped.values())


@pytest.mark.parametrize("top", [1, 2])
def test_with_room_for_all_every_row_goes_where_it_went(top: int) -> None:
    """The same rows in the same order but for the gaps, and back to the last bit."""
    rows, scores = torch.randn(40, 6), torch.randn(40, 8).softmax(dim=1)
    chosen = scores.topk(2).indices[:, :top].squeeze(1)
    places = torch.randperm(8)
    order, _ = sort(chosen, places)
    berths, dropped = fit(chosen, scores, places, 40)
    there = berths < chosen.numel()
    assert not dropped.any()
    assert torch.equal(berths[there], order)
    sent = filled(rows, berths, top)
    assert torch.equal(sent[there], permuted(rows, order, top))
    assert not sent[~there].any()
    back = emptied(list(sent.chunk(4)), berths, chosen.numel(), top)
    assert torch.equal(back, whole([permuted(rows, order, top)], order, top))


@pytest.mark.parametrize("capacity", [0.5, 1, 1.25])
def test_slots_without_room_count_as_zero(capacity: float) -> None:
    """As in a plain loop over experts that knows nothing of ranks; and they are told."""
    job = Job(NANO, ranks=4, steps=3, images=2)
    parts, dropped = run(f"expert:capacity={capacity}", job)
    for rank, part in enumerate(parts):
        with torch.inference_mode():
            expected = reference(Job(NANO, steps=3, images=2, number=rank), capacity)
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)
    share = torch.stack(list(dropped.values())).float().mean().item()
    assert 0 < share < 1
    assert share >= 1 - capacity


def test_the_best_scores_find_room() -> None:
    """Of equal ones the first; those that go stay in the order of their experts, then tokens."""
    chosen = torch.tensor([[0, 1], [0, 2], [0, 1], [1, 0]])
    scores = torch.tensor([[0.5, 0.2, 0], [0.6, 0, 0.1], [0.6, 0.3, 0], [0.1, 0.9, 0]])
    order, dropped = fit(chosen, scores, torch.arange(3), 2)
    assert order.tolist() == [2, 4, 5, 6, 3, 8]  # 8 stands for nothing
    assert dropped.nonzero().flatten().tolist() == [0, 1, 7]


@pytest.mark.parametrize("text", ["expert", "interweaved", "dice:wire=float8"])
def test_parts_are_equal_and_nobody_counts(text: str) -> None:
    """However unevenly experts are wanted: C E rows, of which (n - 1)/n leave the rank."""
    job = Job(NANO, ranks=4, steps=4, images=2)
    chosen = schedule(f"{text}:capacity=1.25:routing=zipf-1")
    ops = simulate(chosen, job, Free(), NETWORKS["infinite"]).ops
    moved = ops[ops["stream"] != "compute"]
    assert set(moved["name"]) == {"dispatch", "combine"}
    assert set(moved["parts"]) == {""}
    assert tuple(ops.groupby("rank")["wire_bytes"].sum()) == chosen.claims(job).wire_bytes
    tokens = job.batch * job.preset.tokens
    row = 4 + job.preset.hidden if "float8" in text else job.preset.hidden * 4
    rows = {math.ceil(1.25 * slots / 8) * 8 for slots in (tokens, 2 * tokens)}
    expected = {count * row for count in rows} if "dice" in text else {max(rows) * row}
    assert set(moved["bytes"]) == expected


def test_nothing_drains_one_communicator() -> None:
    """A transfer of a layer is under way while the next layer's is asked for."""
    job = Job(NANO, ranks=2, steps=4)
    slow = NETWORKS["ethernet-1g"]
    waits = {}
    for text in ("displaced-expert", "displaced-expert:capacity=1"):
        ops = simulate(schedule(text), job, Free(), slow).ops
        waits[text] = set(ops[ops["kind"] == "wait"]["name"])
    assert waits["displaced-expert"] == {"counts", "dispatch", "combine"}
    assert waits["displaced-expert:capacity=1"] == {"dispatch", "combine"}


@pytest.mark.parametrize(("factor", "rows"), [("1", 10), ("1.1", 11), ("1.25", 13), ("0.01", 1)])
def test_a_capacity_is_rounded_up_once(factor: str, rows: int) -> None:
    """From the decimal number that was given: 1.1 x 80 / 8 is 11."""
    assert Capacity.parse(factor).rows(80, 8) == rows
    assert f"capacity={factor}:" in spec(schedule(f"expert:capacity={factor}")) + ":"


def test_what_is_lost_is_recorded(tmp_path: Path) -> None:
    """By rank, step, layer, token and slot; a slot that was not sent is not lost."""
    job = Job(NANO, ranks=2, steps=4)
    trace = run_local(
        schedule("dice:capacity=0.75"), job, tmp_path / "T", keep=["dropped", "chosen"]
    )
    dropped = trace.activations("dropped").to_numpy()
    assert dropped.shape == trace.activations("chosen").shape
    assert 0 < dropped.mean() < 1
    halves = schedule("dice").halves(0, job)  # type: ignore[attr-defined]
    assert not dropped[:, halves, 0][..., 1].any()
    assert dropped[:, [not half for half in halves], 0][..., 1].any()
