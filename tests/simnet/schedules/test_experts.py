"""Expert parallelism: what is computed, from activations of which age, and what travels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from simnet.costs import Free
from simnet.drivers.engine import play
from simnet.drivers.local import programs, timed
from simnet.drivers.matching import Ticket
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import MetaMachine, simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.ops import AllToAll, At, Transfer, Wait
from simnet.schedules.base import TeamSchedule
from simnet.schedules.expert.stale import InFlight
from simnet.schedules.named import schedule

NANO = "dit-moe-nano"
LAYERS = 4


class Kept(Observer):
    """Rank 0's activations of some name, by step and layer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[tuple[int, int], Tensor] = {}

    def keep(self, rank: int, step: int, layer: int, name: str, value: Any) -> None:
        """See Observer."""
        if name == self.name and rank == 0:
            self.values[step, layer] = value


def run(chosen: TeamSchedule, job: Job, observer: Observer | None = None) -> list[Tensor]:
    """What the ranks return, on real tensors."""
    chosen.check(job)
    with torch.inference_mode():
        _, parts = play(
            programs(chosen, job), job.steps, timed, NETWORKS["infinite"], observer or Observer()
        )
    return parts


def ages(text: str, job: Job) -> dict[tuple[int, int], tuple[int, ...]]:
    """By step and layer, how old the output of each of a token's slots is."""
    seen = Kept("age")
    on_meta = Job(job.model_name, job.ranks, job.steps, device="meta", images=job.images)
    every = programs(schedule(text), on_meta)
    play(every, job.steps, MetaMachine(Free(), job.dtype), NETWORKS["infinite"], seen)
    return {place: tuple(value.tolist()) for place, value in seen.values.items()}


def reference(job: Job, text: str, old: dict[tuple[int, int], tuple[int, ...]]) -> Tensor:
    """One rank's images, each slot from tokens of exactly the age that `old` says.

    The first of two ages is of each token's slot that is always sent. Outputs are weighed by the
    scores of the tokens that were sent, or where `text` says so of the latest.
    """
    kept = schedule(text).skip.kept(job)  # type: ignore[attr-defined]
    model: Any = job.model
    x, rows, scores, chosen = job.latent, {}, {}, {}
    for step in range(job.steps):
        c = model.condition(job.time(step), job.label)
        h = model.embed(c, x, model.position)
        for layer, block in enumerate(model.blocks):
            q, kv, carry = block.project(h, c)
            out, _ = block.attend(q, kv)
            at = step, layer
            tokens, rows[at], scores[at], chosen[at] = block.route(h, carry, out)
            sent = step - old[at][0]
            routed = torch.zeros_like(rows[at])
            for slot in range(2):
                is_sent = kept == slot
                for of, whose in ((sent, is_sent), (step - old[at][1], ~is_sent)):
                    everyone = [expert(rows[of, layer]) for expert in block.experts]
                    picked = chosen[of, layer][:, slot]
                    out = torch.stack(everyone)[picked, torch.arange(len(picked))]
                    weighing = scores[at if "latest" in text else (sent, layer)]
                    weight = weighing.gather(1, picked.unsqueeze(1))
                    routed += torch.where(whose.unsqueeze(1), weight * out, 0)
            h = block.merge(tokens, rows[at], routed, carry)
        x = job.advance(x, model.head(h, c))
    return x


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("text", ["expert", "expert:placement=blocked", "expert:communicators=3"])
def test_in_step_the_experts_may_be_anywhere(text: str, ranks: int) -> None:
    """Each rank's images come out as on a device that has all experts."""
    parts = run(schedule(text), Job(NANO, ranks, steps=2, images=2))
    for rank, part in enumerate(parts):
        alone = Job(NANO, steps=2, images=2, number=rank)
        (expected,) = run(schedule("single"), alone)
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "expert",
        "displaced-expert",
        "displaced-expert:skip=low",
        "interweaved",
        "interweaved:sync=deep",
        "interweaved:sync=0.2",
        "interweaved:skip=high",
        "interweaved:skip=random",
        "interweaved:stride=3:warmup_steps=2:cooldown_steps=1",
        "interweaved:skip=low:sync=all",
        "displaced-expert:skip=low:period=3:placement=blocked",
        "dice",
        "dice:communicators=3",
        "dice:scores=latest",
        "dice-released:scores=latest:wire=model",
        "dice-released:scores=stale",
    ],
)
def test_stale_outputs_are_of_tokens_of_exactly_that_age(text: str) -> None:
    """A plain loop that keeps all steps' tokens, and takes those of the ages told, agrees."""
    job = Job(NANO, ranks=2, steps=7, images=2)
    told = ages(text, job)
    if "high" in text:  # whose ages are told for slot 0 first
        told = {place: (sent, other) for place, (other, sent) in told.items()}
    for rank, part in enumerate(run(schedule(text), job)):
        alone = Job(NANO, steps=7, images=2, number=rank)
        with torch.inference_mode():
            expected = reference(alone, text, told)
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", ["dice", "dice:skip=random", "dice-released"])
def test_two_forwards_may_be_apart(text: str) -> None:
    """Teams that do a forward each draw what both together would."""
    together = run(schedule(text), Job(NANO, ranks=2, steps=5))
    apart = run(schedule(f"cfg+{text}"), Job(NANO, ranks=4, steps=5))
    for part, expected in zip(apart, together, strict=False):
        torch.testing.assert_close(part, expected, rtol=1e-3, atol=1e-4)


def counted(text: str, layer: int, slot: int, steps: int = 50) -> dict[int, int]:
    """How many steps use outputs of each age, in a layer and for a slot."""
    told = ages(text, Job(NANO, ranks=2, steps=steps))
    return dict(Counter(age[slot] for place, age in told.items() if place[1] == layer))


@pytest.mark.parametrize("layer", range(LAYERS))
def test_ages_are_the_papers(layer: int) -> None:
    """Displaced outputs are two steps old once there are two steps, interweaved ones one."""
    assert counted("expert", layer, 0) == {0: 50}
    assert counted("displaced-expert", layer, 0) == {0: 1, 1: 1, 2: 48}
    assert counted("interweaved", layer, 0) == {0: 1, 1: 49}
    dice = counted("dice", layer, 0)
    assert dice == ({0: 50} if layer >= LAYERS // 2 else {0: 1, 1: 49})


def test_a_slot_that_is_not_sent_is_a_step_older() -> None:
    """Of the paper's DICE in every second step; of the released code's in every fourth."""
    assert counted("dice", 0, 1) == {0: 1, 1: 25, 2: 24}
    assert counted("dice-released", 0, 1) == {0: 1, 1: 37, 2: 12}
    assert counted("displaced-expert:skip=low", 1, 1) == {0: 1, 1: 1, 2: 24, 3: 24}
    assert counted("expert:skip=low", 1, 1) == {0: 25, 1: 25}


@pytest.mark.parametrize(
    ("text", "layer", "steps"),
    [
        ("expert:skip=low", 0, 25),
        ("displaced-expert:skip=low", 0, 25),
        ("interweaved:skip=low", 0, 25),
        ("dice", 0, 25),
        ("dice", 3, 0),
        ("dice-released", 0, 13),
        ("dice-released", 3, 25),
    ],
)
def test_duty_cycles_of_conditional_communication(text: str, layer: int, steps: int) -> None:
    """Steps of 50 that send one slot alone: as claimed, and as the rows that travel say."""
    chosen: Any = schedule(text)
    job = Job(NANO, ranks=2, steps=50)
    assert sum(chosen.halves(layer, job)) == steps
    trace = simulate(chosen, job, Free(), NETWORKS["infinite"])
    sent = trace.ops.query(f"rank == 0 and name == 'dispatch' and layer == {layer}")["bytes"]
    assert (sent == sent.max() // 2).sum() == steps


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize(
    "text",
    [
        "expert",
        "expert:routing=zipf-0.8",
        "expert:wire=float8",
        "displaced-expert",
        "interweaved:stride=5",
        "dice",
        "dice-released",
        "expert:routing=zipf-0.5:placement=blocked",
        "interweaved:skip=low:sync=all",
        "displaced-expert:skip=high:sync=staggered:period=3",
        "dice:period=4:stride=5",
        "expert:skip=low:period=3",
        "expert/residual-1bit",
        "expert:wire=float8:agreement=0.5:routing=zipf-0.8/residual-2bit:warmup_steps=3",
        "displaced-expert:stride=4/residual-int8",
        "interweaved:skip=low:period=3/residual-1bit",
        "dice/residual-2bit",
        "expert:capacity=1.25",
        "dice-released:capacity=0.7:wire=float8",
    ],
)
def test_claims_are_what_is_sent(text: str, images: int, ranks: int) -> None:
    """Where experts are wanted as `routing` says, every byte on the wire is foretold."""
    chosen, job = schedule(text), Job(NANO, ranks, steps=12, images=images)
    claims = chosen.claims(Job(NANO, ranks, steps=12, images=images, device="meta"))
    ops = simulate(chosen, job, Free(), NETWORKS["infinite"]).ops
    assert tuple(ops.groupby("rank")["wire_bytes"].sum()) == claims.wire_bytes
    told = ages(text, job)
    oldest = [max(max(told[step, layer]) for layer in range(LAYERS)) for step in range(12)]
    assert list(claims.ages) == oldest


def watched(program: Any, look: Callable[[Any], None]) -> Any:
    """The same program; each operation is looked at before it is carried out."""
    value = None
    while True:
        try:
            op = program.send(value)
        except StopIteration as stop:
            return stop.value
        look(op)
        value = yield op


def tensors(value: object) -> list[Tensor]:
    """All in nested containers, each once."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, Ticket):
        value = value.value
    if isinstance(value, list | tuple):
        return [tensor for each in value for tensor in tensors(each)]
    return []


@pytest.mark.parametrize(
    "text",
    [
        "displaced-expert",
        "interweaved",
        "interweaved:sync=staggered",
        "interweaved:wire=float8",
        "interweaved:skip=low:stride=3",
        "dice",
        "dice-released",
    ],
)
def test_claims_are_the_most_that_is_kept(text: str) -> None:
    """Rows under way from one step to the next, what is known of them, and slots laid by.

    How many rows a rank has for its experts is the gate's business; over all ranks it adds up.
    """
    chosen, job = schedule(text), Job(NANO, ranks=2, steps=6, images=2)
    kept: dict[int, Any] = {}
    most: dict[int, int] = {}

    def held(experts: InFlight) -> int:
        under_way = [experts.dispatched, experts.combined, experts.expertise.memory.laid_by]
        return sum({id(tensor): tensor.nbytes for tensor in tensors(under_way)}.values())

    def look(rank: int, program: Any, op: Any) -> None:
        for experts in program.gi_frame.f_locals.values():
            if isinstance(experts, InFlight):
                kept[rank] = experts
        if isinstance(op, At) and op.layer < 0 and len(kept) == job.ranks:
            most[op.step] = sum(map(held, kept.values()))

    every = [
        watched(program, partial(look, rank, program))
        for rank, program in enumerate(programs(chosen, job))
    ]
    with torch.inference_mode():
        play(every, job.steps, timed, NETWORKS["infinite"], Observer())
    assert max(most.values()) == sum(chosen.claims(job).kept_bytes)


def test_an_uneven_gate_fills_the_memory_of_the_rank_that_is_wanted() -> None:
    """Outputs are for one's own tokens, but what is to be served is whose experts are wanted."""
    even, uneven = (
        schedule(f"displaced-expert:routing={routing}").claims(Job(NANO, 4, device="meta"))
        for routing in ("even", "zipf-3")
    )
    assert len(set(even.kept_bytes)) == 1
    assert max(uneven.kept_bytes) > even.kept_bytes[0] > min(uneven.kept_bytes)


def launched(text: str, communicators: int = 1) -> tuple[list[Transfer], list[Transfer]]:
    """Transfers that rank 0 asks for, and those among them that it waits for."""
    asked: list[Transfer] = []
    waited: list[Transfer] = []
    job = Job(NANO, ranks=2, steps=5, device="meta")
    chosen = schedule(f"{text}:communicators={communicators}")

    def look(op: Any) -> None:
        if isinstance(op, Transfer):
            asked.append(op)
        if isinstance(op, Wait):
            waited.append(op.ticket.op)

    first, *others = programs(chosen, job)
    machine = MetaMachine(Free(), job.dtype)
    play([watched(first, look), *others], job.steps, machine, NETWORKS["infinite"], Observer())
    return asked, waited


@pytest.mark.parametrize(
    ("text", "wasted"), [("expert", 0), ("displaced-expert", 8), ("interweaved", 4), ("dice", 2)]
)
def test_only_the_last_steps_transfers_are_waited_for_by_nobody(text: str, wasted: int) -> None:
    """As published: displaced, both of each layer; interweaved, a dispatch, combines but one."""
    asked, waited = launched(text)
    lost = [op for op in asked if op not in waited]
    assert len(lost) == wasted
    assert all(isinstance(op, AllToAll) for op in lost)


@pytest.mark.parametrize("text", ["expert", "displaced-expert", "interweaved", "dice"])
def test_one_communicator_carries_all_in_order(text: str) -> None:
    """Its transfers end in the order in which they were asked for; with three there are three."""
    job = Job(NANO, ranks=2, steps=5)
    ops = simulate(schedule(text), job, Free(), NETWORKS["ethernet-1g"]).ops
    rows = ops[(ops["rank"] == 0) & (ops["stream"] != "compute")].sort_values("seq")
    assert set(rows["stream"]) == {"world"}
    assert rows["end_s"].is_monotonic_increasing
    apart = simulate(schedule(f"{text}:communicators=3"), job, Free(), NETWORKS["ethernet-1g"]).ops
    assert set(apart["stream"]) == {"compute", "counts", "dispatch", "out"}


@pytest.mark.parametrize("text", ["expert", "displaced-expert", "dice", "dice-released"])
@pytest.mark.parametrize("wire", ["float16", "float8"])
def test_fewer_bits_on_the_wire_change_little(text: str, wire: str) -> None:
    """A tenth of a percent of the latent in float16, a few percent in float8, and fewer bytes."""
    job = Job(NANO, ranks=2, steps=6)
    exact, coded = (run(schedule(f"{text}:wire={name}"), job)[0] for name in ("float32", wire))
    error = (coded - exact).norm() / exact.norm()
    assert 0 < error < {"float16": 2e-3, "float8": 6e-2}[wire]


def test_scores_of_the_latest_tokens_are_their_own() -> None:
    """Three choices of scores, three results; where nothing is stale they are all the same."""
    job = Job(NANO, ranks=2, steps=6)
    names = ("stale", "latest", "latest-by-position")
    results = [run(schedule(f"interweaved:scores={name}"), job)[0] for name in names]
    assert not torch.allclose(results[0], results[1])
    assert not torch.allclose(results[1], results[2])
    fresh = [run(schedule(f"interweaved:sync=all:scores={name}"), job)[0] for name in names]
    torch.testing.assert_close(fresh[0], fresh[1])
    torch.testing.assert_close(fresh[1], fresh[2])
