"""Models with experts: as large and as dear as published, and the same however they are cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from simnet.counting import count
from simnet.job import Job
from simnet.models.dit import build
from simnet.models.experts import ExpertBlock
from simnet.models.mixture import even_loads, expert_loads
from simnet.models.presets import PRESETS, preset
from simnet.models.shape import Experts
from traces.errors import InputError

#: Fei et al. 2024, table 1: parameters, of them active, and multiply-adds of an image's forward.
PUBLISHED = {
    "dit-moe-s": (199e6, 71e6, 15.43e9),
    "dit-moe-b": (795e6, 286e6, 61.68e9),
    "dit-moe-l": (2.8e9, 1.0e9, 219.26e9),
    "dit-moe-xl": (4.1e9, 1.5e9, 323.74e9),
    "dit-moe-g": (16.5e9, 3.1e9, 690.94e9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_arithmetic_are_as_published(name: str) -> None:
    """Parameters to the digits that are printed, multiply-adds to what is left of rounding."""
    shape = preset(name)
    experts = shape.experts
    assert experts is not None
    model = build(shape, 0, torch.float16, "meta")
    parameters = sum(weight.numel() for weight in model.parameters())
    block: Any = model.blocks[0]
    of_expert = sum(weight.numel() for weight in block.experts[0].parameters())
    active = parameters - shape.layers * of_expert * (experts.count - experts.top)
    x = torch.empty(1, shape.tokens, shape.channels, device="meta", dtype=torch.float16)
    label = torch.zeros(1, device="meta", dtype=torch.long)
    _, kernels = count(model, (x, torch.empty(1, device="meta"), label))
    inside_attention = 2 * shape.tokens**2 * shape.hidden * shape.layers
    macs = sum(kernel.flop for kernel in kernels) / 2 - inside_attention
    total, used, published = PUBLISHED[name]
    assert parameters == pytest.approx(total, rel=0.02)
    assert active == pytest.approx(used, rel=0.03)
    assert macs == pytest.approx(published, rel=2e-4)


def test_a_rank_with_all_experts_does_what_the_block_does() -> None:
    """Route, serve and merge, with the slots in any order, are `finish`."""
    job = Job("dit-moe-nano", images=2)
    model: Any = job.model
    c = model.condition(job.time(0), job.label)
    h = model.embed(c, job.latent, model.position)
    block: ExpertBlock = model.blocks[0]
    q, kv, carry = block.project(h, c)
    out, _ = block.attend(q, kv)
    tokens, rows, scores, chosen = block.route(h, carry, out)
    slots = chosen.flatten()
    order = slots.argsort(stable=True)
    loads = torch.bincount(slots, minlength=8).tolist()
    served = block.serve(range(8), [loads], rows[order // 2])
    outputs = torch.empty_like(served)
    outputs[order] = served
    weights = scores.gather(1, chosen).flatten().unsqueeze(1)
    routed = (weights * outputs).view(len(rows), 2, -1).sum(1)
    (whole,), (cut,) = block.finish(h, carry, out), block.merge(tokens, rows, routed, carry)
    torch.testing.assert_close(whole, cut)


def test_shards_of_experts_add_up() -> None:
    """Tensor-parallel ranks have a share of each expert's width, and the same gate."""
    job = Job("dit-moe-nano")
    model: Any = job.model
    c = model.condition(job.time(0), job.label)
    h = model.embed(c, job.latent, model.position)
    block = model.blocks[0]
    q, kv, carry = block.project(h, c)
    out, _ = block.attend(q, kv)
    shards = [block.shard(rank, 4) for rank in range(4)]
    assert shards[1].experts[0].down.in_features == 32 // 4
    (update,) = block.mlp_update(h, carry, out)
    updates = [shard.mlp_update(h, carry, out)[0] for shard in shards]
    torch.testing.assert_close(sum(updates[1:], updates[0]), update)


def test_without_values_experts_are_wanted_evenly() -> None:
    """As a simulation must assume; with values they are counted."""
    assert even_loads(11, 4) == [3, 3, 3, 2]
    chosen = torch.tensor([[0, 2], [2, 1], [2, 0]])
    assert expert_loads(chosen, 4) == [2, 1, 3, 0]
    assert expert_loads(chosen.to("meta"), 4) == [2, 2, 1, 1]


def test_a_token_cannot_have_more_experts_than_there_are() -> None:
    """Nor none."""
    for top in (0, 9):
        with pytest.raises(InputError, match=f"a token has {top} of 8 experts"):
            replace(PRESETS["dit-moe-nano"], experts=Experts(count=8, top=top))
