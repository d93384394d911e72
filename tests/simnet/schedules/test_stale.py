"""What is old is as old as the papers say: against references that know nothing of ranks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from simnet.job import Job
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.pipefusion import PipeFusion

MODELS = ("dit-nano", "mmdit-tiny", "mmdit-tiny:text=10", "crossdit-tiny", "skipdit-tiny")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("ranks", "chosen"),
    [
        (1, DistriFusion()),
        (2, DistriFusion()),
        (4, DistriFusion(warmup_steps=2)),
        (4, DistriFusion(layers=2)),
        (4, DistriFusion(warmup_steps=2, layers=3)),
    ],
)
def test_distrifusion_uses_the_keys_and_values_of_exactly_one_step_ago(
    model: str,
    ranks: int,
    chosen: DistriFusion,
    denoise: Callable[[Schedule, Job], Tensor],
    in_parts: Callable[..., Tensor],
) -> None:
    """The others' after the warm-up, its own fresh; however many layers' travel together."""
    before: dict[int, list[Tensor]] = {}
    after: dict[int, list[Tensor]] = {}

    def look(layer: int, step: int, part: int, kvs: list[Tensor]) -> list[Tensor]:
        if part == 0:
            before[layer], after[layer] = after.get(layer, kvs), kvs
        used = kvs if step < chosen.warmup_steps else before[layer]
        return [*used[:part], kvs[part], *used[part + 1 :]]

    job = Job(model, ranks, steps=4)
    torch.testing.assert_close(denoise(chosen, job), in_parts(job, look), rtol=1e-4, atol=1e-4)


def patch_by_patch(job: Job, patches: int, warmup_steps: int) -> Tensor:
    """PipeFusion without ranks: a patch goes through all layers before the next one does.

    It sees patches before it as they are in this step, and those after it as in the last one.
    """
    model = job.model
    parts = [job.part(number, patches, whole_text=True) for number in range(patches)]
    xs, places = [x for x, *_ in parts], [place for _, *place in parts]
    seen: dict[int, list[Tensor]] = {block.layer: [] for block in model.blocks}
    with torch.inference_mode():
        for step in range(job.steps):
            c = model.condition(job.time(step), job.label)
            if step < warmup_steps:  # as one image: everybody's keys and values first
                hs = [model.embed(c, x, *place) for x, place in zip(xs, places, strict=True)]
                for block in model.blocks:
                    projected = [block.project(h, c) for h in hs]
                    seen[block.layer] = [kv for _, kv, _ in projected]
                    for patch, (q, _, carry) in enumerate(projected):
                        out, _ = block.attend_patches(q, *seen[block.layer])
                        hs[patch] = block.finish(hs[patch], carry, out)
                xs = [job.advance(x, model.head(h, c)) for x, h in zip(xs, hs, strict=True)]
                continue
            for patch, place in enumerate(places):
                h = model.embed(c, xs[patch], *place)
                for block in model.blocks:
                    q, seen[block.layer][patch], carry = block.project(h, c)
                    out, _ = block.attend_patches(q, *seen[block.layer])
                    h = block.finish(h, carry, out)
                xs[patch] = job.advance(xs[patch], model.head(h, c))
    return torch.cat(xs, dim=1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("ranks", "chosen"),
    [
        (1, PipeFusion(patches=3)),
        (2, PipeFusion()),
        (2, PipeFusion(patches=6, warmup_steps=2)),
        (4, PipeFusion()),
        (4, PipeFusion(patches=2)),
    ],
)
def test_pipefusion_sees_patches_before_as_they_are_and_those_after_as_they_were(
    model: str, ranks: int, chosen: PipeFusion, denoise: Callable[[Schedule, Job], Tensor]
) -> None:
    """Whatever the number of ranks and patches."""
    job = Job(model, min(ranks, Job(model).preset.layers), steps=4)
    expected = patch_by_patch(job, chosen.patches or job.ranks, chosen.warmup_steps)
    torch.testing.assert_close(denoise(chosen, job), expected, rtol=1e-4, atol=1e-4)
