"""Models that draw what a text says: whichever family, schedules drive them all alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from simnet.costs import Free
from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.models.block import Block, State
from simnet.models.cross import TakingBlock
from simnet.models.dit import DiT, build
from simnet.models.presets import preset
from simnet.models.shape import Joint, Modulation, Preset
from simnet.network.presets import network
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.ring import RingAttention
from traces.errors import InputError

FAMILIES = ["dit-nano", "mmdit-tiny", "crossdit-tiny", "skipdit-tiny"]
#: mmdit-tiny's 12 text tokens split over 2 and 4 ranks, and 10 do over 2 but not over 4.
SPLITS = [
    ("mmdit-tiny", 2),
    ("mmdit-tiny", 4),
    ("mmdit-tiny:text=10", 4),
    ("crossdit-tiny", 4),
    ("skipdit-tiny", 2),
]


def denoised(job: Job) -> Tensor:
    """By the whole model on the whole latent, (1, T, C)."""
    x = job.latent
    with torch.inference_mode():
        for step in range(job.steps):
            x = job.advance(x, job.model(x, job.time(step), job.label))
    return x


def start(job: Job, part: int = 0, parts: int = 1) -> tuple[State, State]:
    """A part's h and the condition of the first step."""
    c = job.model.condition(job.time(0), job.label)
    return job.model.embed(c, *job.part(part, parts)), c


@pytest.mark.parametrize(("model", "ranks"), SPLITS)
def test_ranks_that_share_the_tokens_draw_what_one_device_draws(
    model: str, ranks: int, tmp_path: Path
) -> None:
    """By the same schedule for every family, with text split or on every rank."""
    job = Job(model, ranks=ranks, steps=2)
    trace = run_local(RingAttention(), job, tmp_path / "t", keep=["latent"])
    patches = trace.activations("latent").isel(step=-1, layer=0).to_numpy()
    drawn = torch.from_numpy(np.concatenate(patches, axis=1))
    torch.testing.assert_close(drawn, denoised(job), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("model", "ranks"), SPLITS)
@pytest.mark.parametrize("chosen", [RingAttention(), DistriFusion()])
def test_schedules_send_what_they_claim_whatever_the_family(
    chosen: RingAttention | DistriFusion, model: str, ranks: int
) -> None:
    """Keys and values of both forwards, and of the text where it is split."""
    job = Job(model, ranks=ranks, steps=3)
    trace = simulate(chosen, job, Free(), network("infinite"))
    sent = trace.ops.groupby("rank")["wire_bytes"].sum().tolist()
    assert sent == list(chosen.claims(job).wire_bytes)


def test_text_that_does_not_split_is_on_every_rank_and_sent_by_none() -> None:
    """Its keys and values stay with the queries, so that they are attended to once."""
    split, whole = Job("mmdit-tiny", ranks=4), Job("mmdit-tiny:text=10", ranks=4)
    for job, mine, sent in ((split, 12 // 4, 12 // 4), (whole, 10, 0)):
        h, c = start(job, 1, 4)
        for block in job.model.blocks:
            q, kv, _ = block.project(h, c)
            assert q[0].shape[-2] == 48 // 4 + mine
            assert kv.shape == (2, 1, 12, 48 // 4 + sent, 8)
            assert kv.is_contiguous()
            assert kv.nbytes == job.kv_bytes
            assert [text.shape for text in q[1:]] == [(2, 1, 12, 10, 8)] * (sent == 0)


def test_flux_sends_64_gb_a_picture() -> None:
    """On 4 GPUs by a ring, with 256 text tokens: 28 steps of 57 layers of 3 x 13.4 MB each."""
    job = Job("flux.1-dev:text=256", ranks=4, steps=28, dtype="float16")
    claimed = RingAttention().claims(job).wire_bytes[0]
    assert claimed == 28 * 57 * 3 * 2 * 1088 * 3072 * 2
    assert claimed == pytest.approx(64.0e9, rel=1e-3)
    step = simulate(RingAttention(), replace(job, steps=1), Free(), network("infinite"))
    assert (step.ops.groupby("rank")["wire_bytes"].sum() * 28 == claimed).all()


@pytest.mark.parametrize(
    ("model", "ranks", "steps", "published_bytes"),
    [
        # Guidance doubles the batch; text that does not split stays where it is.
        ("cogvideox-2b", 3, 1, 5.39e9),
        ("cogvideox-2b", 6, 50, 337e9),
        ("pixart-alpha", 4, 20, 15.9e9),
        ("sd3-medium", 4, 28, 25.4e9),
    ],
)
def test_volumes_are_those_worked_out_for_published_models(
    model: str, ranks: int, steps: int, published_bytes: float
) -> None:
    """By a ring in 16 bit, on each GPU for the whole image or video."""
    job = Job(model, ranks=ranks, steps=steps, dtype="float16")
    assert RingAttention().claims(job).wire_bytes[0] == pytest.approx(published_bytes, rel=0.005)


def text_reaches_the_picture(model: DiT, job: Job) -> bool:
    """Whether another text makes another velocity."""
    time = job.time(0)
    usual = model(job.latent, time, job.label)
    return not torch.allclose(model(job.latent, time, job.label.flip(1) * 2), usual, atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES[1:])
def test_the_text_matters(name: str) -> None:
    """In every family that has one."""
    job = Job(name)
    assert text_reaches_the_picture(job.model, job)


VARIANTS = {
    "asymmetric": Joint(tokens=12, channels=32, width=48, mlp=80),
    "ends": Joint(tokens=12, channels=32, ends=True),
    "shared": Joint(tokens=12, channels=32, shared=True),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_text_run_and_matter(variant: str) -> None:
    """A narrower text, one that ends before the last layer, one with the image's weights."""
    shape = replace(preset("mmdit-tiny"), single_layers=0, text=VARIANTS[variant], gated=True)
    model = build(shape, 0, torch.float32, "cpu")
    assert text_reaches_the_picture(model, Job("mmdit-tiny"))


def test_a_text_with_the_images_weights_has_only_its_modulation_to_itself() -> None:
    """As in CogVideoX."""
    shape = replace(preset("mmdit-tiny"), single_layers=0, layers=1, text=VARIANTS["shared"])
    names = [name for name, _ in build(shape, 0, torch.float32, "cpu").named_parameters()]
    of_text = [name for name in names if name.startswith("blocks.0.text")]
    assert of_text == [f"blocks.0.text.modulation.linear.{kind}" for kind in ("weight", "bias")]


def test_long_skips_join_mirror_images() -> None:
    """Of 6 layers, the first two lay by what the fifth and the sixth start from."""
    job = Job("skipdit-tiny")
    h, c = start(job)
    carried = []
    for block in job.model.blocks:
        q, kv, carry = block.project(h, c)
        h = block.finish(h, carry, block.attend(q, kv)[0])
        carried.append(len(h))
    assert carried == [2, 3, 3, 2, 1, 1]


def after(block: Block, job: Job) -> State:
    """h after a block's update of the tokens that the job starts from."""
    h, c = start(job)
    q, kv, carry = block.project(h, c)
    return block.finish(h, carry, block.attend(q, kv)[0])


def sharded(block: Block, job: Job, ranks: int) -> State:
    """The same by ranks that each have a share of the block's width."""
    h, c = start(job)
    shards = [block.shard(rank, ranks) for rank in range(ranks)]
    carries, outs = [], []
    for shard in shards:
        q, kv, carry = shard.project(h, c)
        carries.append(carry)
        outs.append(shard.attend(q, kv)[0])
    for turn in range(len(block.updates)):
        updates = [
            shard.updates[turn](h, carry, out)
            for shard, carry, out in zip(shards, carries, outs, strict=True)
        ]
        h = block.add(h, *(torch.stack(shares).sum(0) for shares in zip(*updates, strict=True)))
    return block.leave(h)


def blocks(name: str, shape: Preset | None = None) -> list[tuple[Block, Job]]:
    """A block of each class that can come first in its family, with biases that matter."""
    job = Job(name)
    model = build(shape or job.preset, 0, torch.float32, "cpu")
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.copy_(torch.linspace(-1, 1, len(parameter)))
    job.__dict__["model"] = model
    unlike = {type(block): block for block in model.blocks if not isinstance(block, TakingBlock)}
    return [(block, job) for block in unlike.values()]


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("name", FAMILIES)
def test_shards_of_a_block_add_up_to_it(name: str, ranks: int) -> None:
    """What tensor parallelism rests on: updates are linear in the shared width."""
    for block, job in blocks(name):
        for whole, part in zip(after(block, job), sharded(block, job, ranks), strict=True):
            torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-4)


def test_a_gated_mlp_with_its_own_width_shards_too() -> None:
    """As Mochi's, text and image."""
    text = Joint(tokens=12, channels=32, width=48, mlp=80)
    base = replace(preset("mmdit-tiny"), single_layers=0, text=text, gated=True)
    shape = replace(base, modulation=Modulation(parts=(1, 2, 4, 5)))
    for block, job in blocks("mmdit-tiny", shape):
        for whole, part in zip(after(block, job), sharded(block, job, 4), strict=True):
            torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-4)


def test_a_step_with_guidance_goes_beyond_the_asked_for_velocity() -> None:
    """Away from the one for nothing in particular."""
    job = Job("crossdit-tiny", steps=1)
    velocity = job.model(job.latent, job.time(0), job.label)
    assert len(velocity) == job.batch == 2
    unguided, asked = velocity.split(1)
    expected = job.latent - asked - (job.preset.guidance - 1) * (asked - unguided)
    torch.testing.assert_close(job.advance(job.latent, velocity), expected)


@pytest.mark.parametrize("name", ["crossdit-tiny", "dit-xl-2"])
def test_a_job_of_one_forward_draws_its_half_of_the_batch(name: str) -> None:
    """Which lets two groups of ranks share a step's forwards."""
    both = Job(name)
    halves = [Job(name, forward=forward) for forward in (0, 1)]
    assert torch.equal(torch.cat([half.label for half in halves]), both.label)
    assert {half.batch for half in halves} == {1}
    assert 2 * halves[0].kv_bytes == both.kv_bytes


def test_a_forward_that_is_not_there_is_refused() -> None:
    """A model without guidance has one."""
    with pytest.raises(InputError, match="forward is 1; a step of dit-nano has 1, counted from 0"):
        Job("dit-nano", forward=1)


def test_texts_depend_on_the_seed_alone() -> None:
    """And not on ranks; a model of classes has labels instead."""
    assert torch.equal(Job("mmdit-tiny", ranks=2).label, Job("mmdit-tiny").label)
    assert not torch.equal(Job("mmdit-tiny", seed=1).label, Job("mmdit-tiny").label)
    assert Job("mmdit-tiny").label.shape == (1, 12, 32)
    assert Job("dit-xl-2").label.tolist() == [1000, 0]


@pytest.mark.parametrize("name", ["crossdit-tiny", "mmdit-tiny"])
def test_shards_that_do_other_work_are_of_another_kind(name: str) -> None:
    """The first adds the biases, all others do alike: a cost counted for one is not the other's."""
    block = Job(name, ranks=4, steps=1).model.blocks[0]
    first, second, third = (block.shard(rank, 4).kind for rank in range(3))
    assert first != second == third
