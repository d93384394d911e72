"""Schedules with codecs lose what the codec loses, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from simnet.codecs.named import codec
from simnet.codecs.named import names as codec_names
from simnet.codecs.recursion import State
from simnet.codecs.residual import Residual
from simnet.codecs.rule import ByTensor, Everywhere, FromLayer
from simnet.costs import Free
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import network
from simnet.schedules.base import Schedule
from simnet.schedules.named import schedule
from simnet.schedules.ring import RingAttention
from traces.errors import InputError

CODED = ("ring", "ulysses", "usp", "patch", "distrifusion", "pipefusion")
OTHERS = ("distrifusion:layers=2", "distrifusion:warmup_steps=3", "pipefusion:warmup_steps=3")
STEPS = 4


@pytest.mark.parametrize(
    ("text", "model"),
    [
        *product(CODED, ("mmdit-tiny", "mmdit-tiny:text=10", "skipdit-tiny")),
        *product((*OTHERS, "data+patch"), ("mmdit-tiny",)),
        ("cfg+ring", "skipdit-tiny"),
    ],
)
@pytest.mark.parametrize(
    "lossless",
    ["raw", "residual-raw", "residual-raw:warmup_steps=2", "residual2-raw:warmup_steps=3"],
)
def test_a_codec_that_loses_nothing_changes_nothing(
    text: str,
    model: str,
    lossless: str,
    job: Callable[[str, int, int], Job],
    denoise: Callable[[Schedule, Job], Tensor],
) -> None:
    """Every stream is decoded once a step, in order: twice would be seen as a wrong change."""
    asked = job(model, 4, STEPS)
    plain = denoise(schedule(text), asked)
    coded = denoise(schedule(f"{text}/{lossless}"), asked)
    torch.testing.assert_close(coded, plain, rtol=1e-4, atol=1e-4)
    if lossless == "raw":  # which does no arithmetic
        assert torch.equal(coded, plain)


class Line:
    """One tensor's way through a codec, step by step, with the two ends' states."""

    def __init__(self, residual: Residual) -> None:
        self.residual = residual
        self.sender: State = ()
        self.receiver: State = ()
        self.step = 0

    def __call__(self, x: Tensor) -> Tensor:
        """What the receiver takes it to be: of heads (B, H, T', E), as tokens by channels."""
        batch, heads, tokens, width = x.shape
        matrix = x.permute(0, 2, 1, 3).reshape(batch * tokens, heads * width)
        coder = self.residual.at(self.step)
        self.step += 1
        payload, self.sender = coder.encode(self.sender, matrix)
        taken, self.receiver = coder.decode(self.receiver, payload, matrix)
        return taken.reshape(batch, tokens, heads, width).permute(0, 2, 1, 3)


class Lines:
    """Every part's keys and values of every layer, decoded once a step."""

    def __init__(self, residual: Residual) -> None:
        self.residual = residual
        self.lines: dict[tuple[int, int, int], Line] = {}
        self.decoded: dict[tuple[int, int], list[Tensor]] = {}

    def __call__(self, layer: int, step: int, kvs: list[Tensor]) -> list[Tensor]:
        """What all others have of each part's."""
        if (layer, step) not in self.decoded:
            self.decoded[layer, step] = [
                torch.stack([self._line(layer, part, n)(x) for n, x in enumerate(kv)])
                for part, kv in enumerate(kvs)
            ]
        return self.decoded[layer, step]

    def _line(self, layer: int, part: int, number: int) -> Line:
        return self.lines.setdefault((layer, part, number), Line(self.residual))


def in_hops(block: Any, q: Any, *patches: Tensor) -> tuple[Tensor, Tensor]:
    """One after the other, as they come round a ring."""
    attended: tuple[Tensor, Tensor] = block.attend(q, patches[0])
    for patch in patches[1:]:
        attended = block.attend_more(q, patch, *attended)
    return attended


@pytest.mark.parametrize("model", ["mmdit-tiny", "mmdit-tiny:text=10", "crossdit-tiny"])
@pytest.mark.parametrize(
    "text", ["1bit", "residual-1bit", "residual-1bit:error_feedback=0", "residual2-2bit"]
)
def test_ring_ranks_see_others_through_the_codec_and_themselves_as_they_are(
    model: str,
    text: str,
    job: Callable[[str, int, int], Job],
    denoise: Callable[[Schedule, Job], Tensor],
    in_parts: Callable[..., Tensor],
) -> None:
    """To the bit, for both ends of every stream go on from the same base."""
    lines, asked = Lines(codec(text)), job(model, 4, STEPS)

    def look(layer: int, step: int, part: int, kvs: list[Tensor]) -> list[Tensor]:
        coded = lines(layer, step, kvs)
        return [kvs[part], *(coded[(part - hop) % 4] for hop in (1, 2, 3))]

    chosen = RingAttention(Everywhere(codec(text)))
    assert torch.equal(denoise(chosen, asked), in_parts(asked, look, in_hops))


@pytest.mark.parametrize("model", ["mmdit-tiny", "mmdit-tiny:text=10", "crossdit-tiny"])
@pytest.mark.parametrize("text", ["1bit", "residual-1bit", "residual2-2bit"])
def test_patch_ranks_see_all_through_the_codec_also_themselves(
    model: str,
    text: str,
    job: Callable[[str, int, int], Job],
    denoise: Callable[[Schedule, Job], Tensor],
    in_parts: Callable[..., Tensor],
) -> None:
    """To the bit."""
    lines, asked = Lines(codec(text)), job(model, 4, STEPS)

    def look(layer: int, step: int, part: int, kvs: list[Tensor]) -> list[Tensor]:
        del part
        return lines(layer, step, kvs)

    assert torch.equal(denoise(schedule(f"patch/{text}"), asked), in_parts(asked, look))


@pytest.mark.parametrize("text", CODED)
def test_one_rank_codes_nothing(
    text: str, job: Callable[[str, int, int], Job], denoise: Callable[[Schedule, Job], Tensor]
) -> None:
    """There is nobody to send to: the same bits as without a codec, and no work for one."""
    asked = job("mmdit-tiny", 1, STEPS)
    coded = schedule(f"{text}/residual-1bit")
    assert torch.equal(denoise(coded, asked), denoise(schedule(text), asked))
    names = set(simulate(coded, asked, Free(), network("infinite")).ops["name"])
    assert not any("code" in name for name in names)


@pytest.mark.parametrize("text", CODED)
def test_every_codec_runs_in_every_schedule_that_sends_activations(
    text: str, job: Callable[[str, int, int], Job], denoise: Callable[[Schedule, Job], Tensor]
) -> None:
    """And, unless it loses nothing, makes a difference; 8 bits make a small one."""
    asked = job("mmdit-tiny", 4, STEPS)
    plain = denoise(schedule(text), asked)
    for name in codec_names():
        rank = ":rank=4" if "lowrank" in name else ""  # by default more than there are tokens
        latent = denoise(schedule(f"{text}/{name}{rank}"), asked)
        assert bool(latent.isfinite().all())
        error = (latent - plain).norm() / plain.norm()
        assert (error < 1e-5) == name.endswith("raw")
        if name.endswith(("int8", "fp8")):
            assert error < 0.05


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("single", "single takes no codec: it sends nothing"),
        ("tensor", "tensor takes no codec: the sum of its ranks' codes is no code of the sum"),
        ("cfg+tensor", "tensor takes no codec"),
        ("data+cfg+tensor", "tensor takes no codec"),
    ],
)
def test_a_codec_is_refused_where_there_is_nothing_to_code(text: str, reason: str) -> None:
    """With the reason."""
    for name in codec_names():
        with pytest.raises(InputError, match=reason):
            schedule(f"{text}/{name}")


def test_a_rule_may_choose_another_codec_for_each_tensor_and_layer(
    job: Callable[[str, int, int], Job], denoise: Callable[[Schedule, Job], Tensor]
) -> None:
    """Values raw and keys in 1 bit from layer 2 on: the volume and the error lie between."""
    asked = job("mmdit-tiny", 4, STEPS)
    raw, one = (Everywhere(codec(f"residual-{name}")) for name in ("raw", "1bit"))
    mixed = RingAttention(ByTensor(keys=FromLayer(raw, 2, one), others=raw))
    all_raw, all_one = replace(mixed, codec=raw), replace(mixed, codec=one)
    sent = [each.claims(asked).wire_bytes[0] for each in (all_one, mixed, all_raw)]
    assert sent == sorted(set(sent))
    errors = [(denoise(each, asked) - denoise(all_raw, asked)).norm() for each in (all_one, mixed)]
    assert 0 < errors[1] < errors[0]
