"""Tensor parallelism: each rank has a share of every layer's width, for all tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.job import Job
from simnet.models.shape import Cross, Joint, Preset
from simnet.ops import AllReduce, At, Compute, Keep, Program, Wait
from simnet.schedules.base import Claims, Guide, Steps, Team, TeamSchedule, weight_bytes
from simnet.schedules.heads import check_heads
from simnet.schedules.joining import join, split
from traces.errors import InputError


@dataclass(frozen=True)
class TensorParallel(TeamSchedule):
    """Shoeybi et al. 2019, "Megatron-LM", section 3.

    A rank has its share of the heads and of the MLP's width; what they add to the tokens is summed
    over all ranks, after the attention and after the MLP. Nothing overlaps, and nothing is stale.

        rank 0 | heads 0..h | all-reduce | MLP, columns 0..m | all-reduce |

    It takes no codec: ranks' summands have no codes whose sum is the code of the sum, and residuals
    of each summand would have to be gathered from all ranks, at n/2 times the volume.
    """

    name: ClassVar[str] = "tensor"
    no_codec: ClassVar[str] = "the sum of its ranks' codes is no code of the sum"

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """See TeamSchedule."""
        model = job.model
        blocks = [block.shard(team.place, team.size) for block in model.blocks]
        x, *place = job.part(0, 1)
        for step in range(job.steps):
            yield At(step)
            c = yield Compute(model.condition, job.time(step), job.label)
            h = yield Compute(model.embed, c, x, *place)
            for block in blocks:
                yield At(step, block.layer)
                q, kv, carry = yield Compute(block.project, h, c)
                out, _ = yield Compute(block.attend, q, kv)
                for update in block.updates:
                    share = yield Compute(update, h, carry, out)
                    h = yield Compute(block.add, h, *(yield from _summed(share, team)))
                h = yield Compute(block.leave, h)
            yield At(step)
            velocity = yield Compute(model.head, h, c)
            x = yield Compute(job.advance, x, (yield from guide(velocity)))
            yield Keep("latent", x.chunk(team.size, dim=1)[team.place])
        return x.chunk(team.size, dim=1)[team.place]

    def check(self, job: Job) -> None:
        """Heads and the MLPs' widths must split evenly."""
        check_heads(self.name, job, job.ranks)
        shape = job.preset
        for width in (shape.mlp or 4 * shape.hidden, getattr(shape.text, "mlp", None) or 0):
            if width % job.ranks:
                raise InputError(
                    f"tensor: the MLP of {job.model_name} is {width} wide, which {job.ranks} ranks "
                    "cannot share evenly"
                )

    def claims(self, job: Job) -> Claims:
        """2 (n - 1)/n of all tokens' updates, each T D elements, two in most layers."""
        element, sent = job.batch * job.torch_dtype.itemsize, 0
        for layer in range(job.preset.layers):
            for elements in _updates(job.preset, layer):
                sent += 2 * (job.ranks - 1) * element * elements // job.ranks
        sent *= job.steps
        return Claims((sent,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)

    def moved(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; every rank has the whole latent."""
        return (job.preset.tokens,) * job.ranks

    def weight_bytes(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; a rank has its share of each layer, and all of the rest."""
        model = job.model
        outside = weight_bytes(model) - weight_bytes(*model.blocks)
        return tuple(
            outside + weight_bytes(*(block.shard(rank, job.ranks) for block in model.blocks))
            for rank in range(job.ranks)
        )


def _updates(shape: Preset, layer: int) -> list[int]:
    """Elements of what is added to one image's tokens, and its text's, one after the other."""
    image, text = shape.tokens * shape.hidden, shape.text
    if isinstance(text, Cross):
        return [image] * 3
    if not isinstance(text, Joint):
        return [image] * 2
    beside = text.tokens * (text.width or shape.hidden)
    if layer >= shape.layers - shape.single_layers:
        return [image + beside]
    return [image + (0 if text.ends and layer == shape.layers - 1 else beside)] * 2


def _summed(share: tuple[Any, ...], team: Team) -> Steps:
    """All ranks' shares of an update, added up."""
    if team.size == 1:
        return share
    message = share[0] if len(share) == 1 else (yield Compute(join, *share))
    total = yield Wait((yield AllReduce("update", message, team.group)))
    return (total,) if len(share) == 1 else split(total, *(part.shape for part in share))
