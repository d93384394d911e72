"""Rows for experts as residuals: what comes of them, what both ends keep, what travels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from simnet.codecs.residual import Residual
from simnet.costs import Free
from simnet.drivers.engine import Work, play
from simnet.drivers.local import programs, run_local, timed
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import MetaMachine, simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.ops import Compute, Program
from simnet.schedules.base import TeamSchedule
from simnet.schedules.expert.bases import Bases
from simnet.schedules.expert.exchange import Expertise
from simnet.schedules.expert.slots import weigh
from simnet.schedules.expert.stale import InFlight
from simnet.schedules.named import on_gpu, schedule, with_routing
from traces.errors import InputError

NANO = "dit-moe-nano"


class Way:
    """One way from a rank to another: rows by what they are of, coded one after the other."""

    def __init__(self, residual: Residual, wire: torch.dtype) -> None:
        self.residual = residual
        self.wire = wire
        self.sender: dict[Any, Tensor] = {}
        self.receiver: dict[Any, Tensor] = {}

    def carry(self, rows: dict[Any, Tensor], *, half: bool, coded: bool) -> dict[Any, Tensor]:
        """The rows as they come, by what they are of."""
        known = [pair for pair in rows if pair in self.sender] if coded else []
        shape, codec = (len(known), next(iter(rows.values()), torch.empty(0)).numel()), None
        if known:
            codec, whole = self.residual.codec, len(known) * shape[1] * self.wire.itemsize
            if codec.nbytes(shape, torch.float32) >= whole:
                known = []
        came = {pair: row.to(self.wire).float() for pair, row in rows.items() if pair not in known}
        went = dict(came)
        if known and codec is not None:
            change = torch.stack([rows[pair] - self.sender[pair] for pair in known])
            decoded = codec.decode(codec.encode(change), shape, torch.float32)
            for pair, row in zip(known, decoded, strict=True):
                came[pair] = self.receiver[pair] + row
                went[pair] = came[pair] if self.residual.error_feedback else rows[pair]
        self.sender = (self.sender if half else {}) | went
        self.receiver = (self.receiver if half else {}) | came
        return came


class Reference:
    """All ranks of a layer in a plain loop; `passed` is of the layer's tokens of a step."""

    def __init__(self, chosen: Any, job: Job, block: Any) -> None:
        self.schedule, self.job, self.block = chosen, job, block
        self.ranks = range(job.ranks)
        self.order = chosen.placement.order(8, job.ranks)
        self.wire = {"float32": torch.float32, "float16": torch.float16}[chosen.wire.name]
        self.residual = chosen.codec.residual
        self.clear()
        self.latest = [[{}, {}] for _ in self.ranks]  # type: list[list[dict[int, Any]]]

    def clear(self) -> None:
        """Forget all bases."""
        self.ways: dict[Any, Way] = defaultdict(lambda: Way(self.residual, self.wire))

    def passed(self, step: int, gates: Sequence[Any], *, half: bool) -> list[tuple[Tensor, Tensor]]:
        """Of each rank outputs (N, k, D), and of which experts; `gates` are rows and choices."""
        each, coded = 8 // len(self.ranks), step >= self.residual.warmup_steps
        there: dict[tuple[int, int], dict[Any, Tensor]] = {}
        for home, (rows, chosen) in enumerate(gates):
            for server in self.ranks:
                mine = self.order[server * each : (server + 1) * each]
                sent = {
                    (expert, token): rows[token]
                    for expert in mine
                    for token, slots in enumerate(chosen.tolist())
                    if expert in (slots[:1] if half else slots)
                }
                way = self.ways["tokens", home, server]
                came = way.carry(sent, half=half, coded=coded and home != server)
                there[home, server] = {pair: came[pair] for pair in sent}
        for server in self.ranks:
            self._serve(server, there)
        for home, (_, chosen) in enumerate(gates):
            for server in self.ranks:
                way, sent = self.ways["outputs", home, server], there[home, server]
                sent = way.carry(sent, half=half, coded=coded and home != server)
                for (expert, token), row in sent.items():
                    slot = chosen[token].tolist().index(expert)
                    self.latest[home][slot][token] = row, expert
        return [self._of(home) for home in self.ranks]

    def _serve(self, server: int, there: dict[tuple[int, int], dict[Any, Tensor]]) -> None:
        """Rows become outputs: each expert's all at once, as a rank's are."""
        for expert in {expert for home in self.ranks for expert, _ in there[home, server]}:
            every = [
                (h, pair) for h in self.ranks for pair in there[h, server] if pair[0] == expert
            ]
            rows = torch.stack([there[home, server][pair] for home, pair in every])
            for (home, pair), out in zip(every, self.block.experts[expert](rows), strict=True):
                there[home, server][pair] = out

    def _of(self, home: int) -> tuple[Tensor, Tensor]:
        slots = self.latest[home]
        out = [torch.stack([slot[token][0] for token in sorted(slot)]) for slot in slots]
        experts = [torch.tensor([slot[token][1] for token in sorted(slot)]) for slot in slots]
        return torch.stack(out, dim=1), torch.stack(experts, dim=1)


def reference(text: str, job: Job) -> list[Tensor]:
    """All ranks' images, of a schedule that uses tokens `lag` steps old."""
    chosen: Any = schedule(text)
    model: Any = job.model
    own = [job.variant(ranks=1, number=rank) for rank in range(job.ranks)]
    xs, forced = [each.latent for each in own], chosen.forced(job)
    layers = [Reference(chosen, job, block) for block in model.blocks]
    past: dict[tuple[int, int], Any] = {}
    for step in range(job.steps):
        since = max(s for s in range(step + 1) if forced[s])
        cs = [model.condition(each.time(step), each.label) for each in own]
        hs = [model.embed(c, x, model.position) for c, x in zip(cs, xs, strict=True)]
        for layer, block in enumerate(model.blocks):
            if forced[step]:
                layers[layer].clear()
            projected = [block.project(h, c) for h, c in zip(hs, cs, strict=True)]
            carries = [carry for *_, carry in projected]
            routes = [
                block.route(h, carry, block.attend(q, kv)[0])
                for h, (q, kv, carry) in zip(hs, projected, strict=True)
            ]
            half = chosen.halves(layer, job)[step]
            gates = [(rows, picked) for _, rows, _, picked in routes]
            came = layers[layer].passed(step, gates, half=half)
            scores = [scores for _, _, scores, _ in routes]
            past[step, layer] = list(zip(came, scores, strict=True))
            used = past[max(since, step - chosen.lag(layer, job)), layer]
            for rank, ((out, experts), weights) in enumerate(used):
                weighed = weigh(out, weights, experts)
                tokens, rows, *_ = routes[rank]
                hs[rank] = block.merge(tokens, rows, weighed, carries[rank])
        moved = zip(own, xs, hs, cs, strict=True)
        xs = [each.advance(x, model.head(h, c)) for each, x, h, c in moved]
    return xs


def run(
    chosen: TeamSchedule, job: Job, machine: Callable[[Compute], Work] = timed
) -> tuple[list[Tensor], list[Any]]:
    """What the ranks return, and their experts as the run leaves them."""
    found: dict[int, Any] = {}
    chosen.check(job)
    every = [seen(p, found, rank) for rank, p in enumerate(programs(chosen, job))]
    with torch.inference_mode():
        _, parts = play(every, job.steps, machine, NETWORKS["infinite"], Observer())
    return parts, [found[rank] for rank in range(job.ranks)]


def seen(program: Any, found: dict[int, Any], rank: int) -> Program:
    """The same program; what its rank has of experts is found in its frame."""
    value = None
    while True:
        try:
            op = program.send(value)
        except StopIteration as stop:
            return stop.value
        found[rank] = program.gi_frame.f_locals.get("experts", found.get(rank))
        value = yield op


@pytest.mark.parametrize(
    "text",
    [
        "expert/residual-1bit",
        "expert:communicators=3:placement=blocked/residual-2bit",
        "expert:wire=float16/residual-fp8:warmup_steps=3",
        "expert/residual-lowrank:rank=2",
        "expert:skip=low/residual-1bit",
        "interweaved/residual-1bit",
        "interweaved/residual-2bit:error_feedback=0",
        "interweaved:stride=3/residual-int4",
        "interweaved:skip=low:period=3/residual-1bit",
        "displaced-expert/residual-int8",
        "displaced-expert:cooldown_steps=2:skip=low/residual-1bit",
        "dice/residual-2bit",
    ],
)
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_plain_loop_with_a_dictionary_of_bases_gives_the_same_bits(text: str, ranks: int) -> None:
    """Which pairs are known, what comes of each, and which are forgotten."""
    job = Job(NANO, ranks, steps=7, images=2).with_model()
    parts, _ = run(schedule(text), job)
    with torch.inference_mode():
        expected = reference(text, job)
    assert all(map(torch.equal, parts, expected))
    uncoded, _ = run(schedule(text.partition("/")[0]), job)
    assert not torch.equal(uncoded[0], parts[0])


def bases(experts: Any) -> dict[tuple[str, int], Bases]:
    """What a rank remembers, by the way and the layer."""
    if isinstance(experts, InFlight):
        expertise = experts.expertise
    else:  # a function of the synchronous schedule
        cells = (cell.cell_contents for cell in experts.__closure__)
        expertise = next(each for each in cells if isinstance(each, Expertise))
    ends: dict[tuple[str, int], Bases] = expertise.freight.ends  # type: ignore[attr-defined]
    return ends


@pytest.mark.parametrize("text", ["expert", "interweaved:sync=all", "expert:skip=random:period=3"])
def test_both_ends_remember_the_same_to_the_last_bit(text: str) -> None:
    """The same pairs, whatever each calls them, and the same of them."""
    job = Job(NANO, ranks=4, steps=5, images=2)
    _, experts = run(schedule(f"{text}/residual-1bit"), job)
    pairs = 2 * job.batch * job.preset.tokens  # of one rank and another's experts, at most

    def of(rank: int, name: str, layer: int, other: int) -> dict[int, Tensor]:
        end = bases(experts[rank])[name, layer]
        every = zip(end.pairs.tolist(), end.rows, strict=True)
        return {number % pairs: row for number, row in every if number // pairs == other}

    for layer in range(job.preset.layers):
        for home in range(job.ranks):
            for server in set(range(job.ranks)) - {home}:
                for there, here in (("served", "dispatched"), ("outputs", "returned")):
                    one, other = of(server, there, layer, home), of(home, here, layer, server)
                    assert one
                    assert one.keys() == other.keys()
                    assert all(torch.equal(one[pair], other[pair]) for pair in one)


def held(experts: Any) -> int:
    """Bytes of all bases."""
    ends = bases(experts).values()
    return sum(tensor.nbytes for end in ends for tensor in (end.pairs, end.rows))


@pytest.mark.parametrize("text", ["expert", "expert:routing=zipf-1", "interweaved:sync=all"])
def test_memory_of_bases_is_as_claimed(text: str) -> None:
    """Where experts are wanted as `routing` says: of both ends, both ways."""
    job, coded = Job(NANO, 4, steps=3, images=2, device="meta"), schedule(f"{text}/residual-2bit")
    _, experts = run(coded, job, MetaMachine(Free(), job.dtype))
    assert tuple(map(held, experts)) == coded.claims(job).kept_bytes


def test_memory_of_bases_does_not_grow_without_end() -> None:
    """Slots that are left out stay, and those that are new come on top till all are sent."""
    sizes = []
    for steps in (2, 5, 8):
        job = Job(NANO, 2, steps, images=2)
        _, experts = run(schedule("expert:skip=low:period=3/residual-1bit"), job)
        sizes.append(sum(map(held, experts)))
    slots = job.ranks * 2 * job.batch * job.preset.tokens
    pair_bytes, ends = job.preset.hidden * 4 + 8, 4
    assert max(sizes) <= 2 * slots * pair_bytes * ends * job.preset.layers


def test_volume_is_a_closed_formula() -> None:
    """Of 4 ranks, 8 experts, N tokens: kN/16 known rows for each other rank where .75 agree."""
    job = Job(NANO, ranks=4, steps=5, images=2)
    tokens, width, layers = 2 * 2 * job.preset.tokens, job.preset.hidden, job.preset.layers
    rows = 2 * tokens // 4
    known = rows * 3 // 4
    counts, bits = 2 * 8 * 8, tokens * 2 // 8
    coded = known * width // 8 + 2 * (known + width) + (rows - known) * width * 4
    first = counts + bits + 2 * rows * width * 4
    later = counts + bits + 2 * coded
    (sent,) = set(schedule("expert:agreement=0.75/residual-1bit").claims(job).wire_bytes)
    assert sent == 3 * layers * (first + 4 * later)


@pytest.mark.parametrize("text", ["expert", "interweaved:skip=low:period=3:stride=4"])
def test_a_recorded_gate_foretells_every_message(text: str, tmp_path: Path) -> None:
    """To the byte: which pairs go to whom, and which of them went there before."""
    job, coded = Job(NANO, ranks=2, steps=6), schedule(f"{text}/residual-1bit")
    live = run_local(coded, job, tmp_path / "T", keep=["chosen"])
    by_gate = with_routing(coded, str(tmp_path / "T"))
    foretold = simulate(by_gate, job, Free(), NETWORKS["infinite"])
    columns = ["rank", "name", "step", "layer", "bytes", "wire_bytes", "parts"]
    one, other = (trace.ops.query("kind == 'all_to_all'")[columns] for trace in (live, foretold))
    assert one.reset_index(drop=True).equals(other.reset_index(drop=True))
    sent = live.ops.groupby("rank")["wire_bytes"].sum()
    assert tuple(sent) == by_gate.claims(job).wire_bytes


def tensors(value: object) -> list[Tensor]:
    """All in nested containers."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for each in value for tensor in tensors(each)]
    return [value] if isinstance(value, Tensor) else []


@pytest.mark.parametrize("text", ["interweaved", "interweaved:wire=float8", "dice"])
def test_what_is_under_way_is_claimed_with_the_bases(text: str, tmp_path: Path) -> None:
    """After a synchronous step, which sends all rows whole, most is kept."""
    job, coded = Job(NANO, ranks=2, steps=1, images=2), schedule(f"{text}/residual-1bit")
    run_local(coded, job, tmp_path / "T", keep=["chosen"])
    _, every = run(coded, job)
    claimed = with_routing(coded, str(tmp_path / "T")).claims(job).kept_bytes
    for experts, nbytes in zip(every, claimed, strict=True):
        under_way = [experts.dispatched, experts.combined, experts.expertise.memory.laid_by]
        kept = {tensor.data_ptr(): tensor.nbytes for tensor in tensors(under_way)}
        assert held(experts) + sum(kept.values()) == nbytes


def test_on_a_gpu_rows_for_experts_are_coded_operation_by_operation() -> None:
    """Fused kernels are made for so many rows, and the next step has others."""
    coded = schedule("cfg+interweaved/residual-1bit")
    assert on_gpu(coded) == coded


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_types_are_coded_as_well(dtype: str) -> None:
    """With rows on the wire in the model's own type, or in float32 as published."""
    for wire in ("model", "float32"):
        job = Job(NANO, ranks=2, steps=4, dtype=dtype)
        (exact, *_), _ = run(schedule(f"dice:wire={wire}"), job)
        (coded, *_), _ = run(schedule(f"dice:wire={wire}/residual-2bit"), job)
        error = (coded.float() - exact.float()).norm() / exact.float().norm()
        assert 0 < error < 0.05


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("dice:wire=float8/residual-fp8", "float32"),
        ("expert:wire=float8/residual-int8", "float32"),
        ("expert:wire=model/residual-raw", "float32"),
        ("dice:wire=float16/residual-sparse:m=1", "float16"),
    ],
)
def test_a_codec_that_makes_no_less_of_rows_than_they_are_is_refused(text: str, dtype: str) -> None:
    """By the rows that an even gate has for each rank, and what they take as they travel."""
    with pytest.raises(InputError, match="so that none would be coded"):
        schedule(text).check(Job(NANO, ranks=4, dtype=dtype))
    schedule(text).check(Job(NANO, ranks=1, dtype=dtype))
    schedule("dice/residual-sparse:m=1").check(Job(NANO, ranks=4, dtype="float16"))


@pytest.mark.parametrize("text", ["cfg+expert", "cfg+dice/residual-1bit"])
def test_each_half_of_guidance_tells_the_other_of_all_its_images(text: str) -> None:
    """As claimed, with several images."""
    job = Job(NANO, ranks=4, steps=4, images=2)
    ops = simulate(schedule(text), job, Free(), NETWORKS["infinite"]).ops
    assert tuple(ops.groupby("rank")["wire_bytes"].sum()) == schedule(text).claims(job).wire_bytes


@pytest.mark.parametrize("capacity", ["9", "1e9", "1e30"])
def test_room_for_more_than_could_ever_come_is_refused(capacity: str) -> None:
    """Such rows would all be padding."""
    with pytest.raises(InputError, match="expected 0 to 8"):
        schedule(f"expert:capacity={capacity}").check(Job(NANO, ranks=2))
