"""All-to-alls that turn a part of the tokens with all heads into all tokens with a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.ops import AllToAll, Compute, Wait
from simnet.schedules.base import Attention, Steps, Team
from simnet.schedules.volume import Volume
from simnet.schedules.wire import KV, Stream, Wire
from traces.errors import InputError

_HEADS, _TOKENS = -3, -2  # dimensions of (..., H, T, E)


def exchanged(line: Wire, team: Team, inner: Attention) -> Attention:
    """Attention in which the team's ranks share the heads.

    `inner` is given the queries, keys and values of all the team's tokens, for this rank's heads.
    Text that every rank has to itself is not sent: a rank takes its heads of it. Queries of such
    text go along with each rank's own, so that it has the outputs it needs.
    """
    if team.size == 1:
        return inner

    def attention(block: Any, q: Any, kv: Any, step: int) -> Steps:
        queries, *text = q
        at = block.layer, step
        parts = yield Compute(part_heads, queries.unsqueeze(0), team.size)
        queries = yield Compute(join_tokens, *(yield from _exchange(line, team, ("q",), at, parts)))
        parts = yield Compute(part_heads, kv, team.size)
        kv = yield Compute(join_tokens, *(yield from _exchange(line, team, KV, at, parts)))
        own_text = [each.chunk(team.size, _HEADS)[team.place] for each in text]
        out, _ = yield from inner(block, (queries[0], *own_text), kv, step)
        parts = yield Compute(part_tokens, out.unsqueeze(0), team.size)
        out = yield Compute(join_heads, *(yield from _exchange(line, team, ("out",), at, parts)))
        return out[0], None

    return attention


def _exchange(
    line: Wire, team: Team, tensors: tuple[str, ...], at: tuple[int, int], parts: Sequence[Any]
) -> Steps:
    """One part to each rank, and from each the like, at (layer, step); one's own stays as it is."""
    layer, step = at
    streams = {
        place: Stream(tensors, layer, rank)
        for place, rank in enumerate(team.group.ranks)
        if place != team.place
    }
    payloads: dict[int, Any] = {}
    for place, stream in streams.items():
        payloads[place] = yield from line.pack(stream, step, parts[place])
    filler = next(iter(payloads.values()))  # to oneself: nobody reads it, but it has their size
    message = yield Compute(stack, *(payloads.get(place, filler) for place in range(team.size)))
    received = yield Wait((yield AllToAll("".join(tensors), message, team.group)))
    values = list(parts)
    for place, stream in streams.items():
        values[place] = yield from line.unpack(stream, step, received[place][0], parts[place])
    return values


def part_heads(value: Tensor, parts: int) -> tuple[Tensor, ...]:
    """(M, B, H, T, E) in parts of the heads."""
    return value.chunk(parts, _HEADS)


def join_heads(*parts: Tensor) -> Tensor:
    """And back."""
    return torch.cat(parts, _HEADS)


def part_tokens(value: Tensor, parts: int) -> tuple[Tensor, ...]:
    """(M, B, H, T, E) in parts of the tokens."""
    return value.chunk(parts, _TOKENS)


def join_tokens(*parts: Tensor) -> Tensor:
    """And back."""
    return torch.cat(parts, _TOKENS)


def stack(*parts: Tensor) -> Tensor:
    """One for each rank, as an all-to-all takes them."""
    return torch.stack(parts)


def check_heads(name: str, job: Job, ranks: int) -> None:
    """Raise InputError where the heads do not split evenly over so many ranks."""
    heads = job.preset.heads
    if heads % ranks:
        fits = [str(n) for n in range(1, heads + 1) if heads % n == 0]
        raise InputError(
            f"{name}: {job.model_name} has {heads} heads, which {ranks} ranks cannot share "
            f"evenly; let {', '.join(fits)} ranks share them"
        )


def volumes(job: Job, ranks: int) -> list[Volume]:
    """What a rank sends to each of the others when so many share the heads.

    Of queries and outputs a rank has all its text's, of keys and values what `job` shares.
    """
    shape = job.preset
    queries = job.batch * (shape.tokens // job.ranks + shape.joint_tokens(job.ranks))
    width = shape.hidden // ranks, shape.layers
    return [
        Volume(("q",), queries, *width),
        Volume(KV, job.batch * job.shared_tokens, *width),
        Volume(("out",), queries, *width),
    ]


def exchanged_bytes(rule: Rule | None, job: Job, ranks: int) -> tuple[int, int]:
    """What a rank sends in a run when so many share the heads, and what it keeps meanwhile."""
    to_each = volumes(job, ranks)
    sent = (ranks - 1) * sum(volume.sent(rule, job) for volume in to_each)
    kept = 2 * (ranks - 1) * sum(volume.bases(rule, job) for volume in to_each)
    return sent, kept
