"""One rank of a pipeline: its layers, and what comes in and goes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch

from simnet.job import Job
from simnet.ops import At, Compute, Keep, Recv, Send, Ticket, Wait
from simnet.schedules.base import Guide, Steps, Team
from simnet.schedules.joining import join, split
from simnet.schedules.wire import Stream, Wire


class Stage:
    """A rank's part in a run: `step` for each step, and `finish`.

    The first one has the latent: the last one sends it the velocities. Receives are asked for as
    early as there is room, for as many patches as there are.
    """

    def __init__(self, job: Job, team: Team, guide: Guide, line: Wire, patches: int) -> None:
        self.job = job
        self.team = team
        self.guide = guide
        self.line = line
        self.patches = patches
        first, last = layers_of(job, team.place, team.size)
        self.first, self.last = first, last
        self.blocks = job.model.blocks[first:last]
        self.seen: dict[int, list[Any]] = {}  # keys and values by layer: of all patches
        self.parts = [job.part(patch, patches, whole_text=True) for patch in range(patches)]
        self.latent = [part[0] for part in self.parts]
        self.leaving: deque[Ticket] = deque()
        self.coming: deque[Ticket] = deque()
        self.asked = 0  # receives of hidden states so far
        self.velocities: deque[Any] = deque()  # tickets, or themselves where one rank is all

    @property
    def begins(self) -> bool:
        """Whether this is the first stage."""
        return self.team.place == 0

    @property
    def ends(self) -> bool:
        """Whether it is the last."""
        return self.team.place == self.team.size - 1

    def step(self, step: int, *, together: bool) -> Steps:
        """All patches through this rank's layers: layer by layer, or patch by patch."""
        c = yield Compute(self.job.model.condition, self.job.time(step), self.job.label)
        everyone = range(self.patches)
        for patches in [everyone] if together else [[patch] for patch in everyone]:
            hs: list[Any] = []
            for patch in patches:
                hs += [(yield from self._enter(step, patch, c))]
            for block in self.blocks:
                yield At(step, block.layer)
                hs = yield from self._layer(block, c, patches, hs)
            yield At(step)
            for patch, h in zip(patches, hs, strict=True):
                yield from self._leave(step, patch, h, c)

    def finish(self) -> Steps:
        """What this rank has of the denoised latent: all of it, or nothing."""
        if self.begins:
            for patch in range(self.patches):
                yield from self._advance(patch)
        while self.leaving:
            yield Wait(self.leaving.popleft())
        if not self.begins:
            return self.latent[0][:, :0]
        x = yield Compute(_whole, *self.latent)
        yield Keep("latent", x)
        return x

    def _layer(self, block: Any, c: Any, patches: Any, hs: list[Any]) -> Steps:
        asked = []
        seen = self.seen.setdefault(block.layer, [None] * self.patches)
        for patch, h in zip(patches, hs, strict=True):
            q, kv, carry = yield Compute(block.project, h, c)
            seen[patch] = yield Compute(_kept, kv)
            asked.append((q, carry))
        done = []
        for (q, carry), h in zip(asked, hs, strict=True):
            out, _ = yield Compute(block.attend_patches, q, *seen)
            done.append((yield Compute(block.finish, h, carry, out)))
        return done

    def _enter(self, step: int, patch: int, c: Any) -> Steps:
        """A patch as it comes to this rank's first layer."""
        if self.begins:
            if step:
                yield from self._advance(patch)
            if self.team.size > 1:
                [like] = self._empty([self._velocity_shape()])
                last = self.team.group.ranks[-1]
                ticket = yield Recv("velocity", like, last, self.team.group)
                self.velocities.append(ticket)
            _, *place = self.parts[patch]
            return (yield Compute(self.job.model.embed, c, self.latent[patch], *place))
        while self.asked < self.job.steps * self.patches and len(self.coming) < self.patches:
            yield from self._ask()
        message = yield Wait(self.coming.popleft())
        return (yield from self._taken(step, patch, message))

    def _leave(self, step: int, patch: int, h: Any, c: Any) -> Steps:
        """Hand a patch on, having come through this rank's last layer."""
        group = self.team.group
        if self.ends:
            velocity = yield Compute(self.job.model.head, h, c)
            if self.begins:
                self.velocities.append(velocity)
                return
            ticket = yield Send("velocity", velocity, group.ranks[0], group)
        else:
            payloads = []
            for stream, tensor in self._streams(patch, h, self.last):
                value = tensor.unsqueeze(1).unsqueeze(0)
                payloads.append((yield from self.line.pack(stream, step, value)))
            message = yield Compute(join, *payloads)
            ticket = yield Send("hidden", message, group.ranks[self.team.place + 1], group)
        self.leaving.append(ticket)
        if len(self.leaving) > self.patches:
            yield Wait(self.leaving.popleft())

    def _ask(self) -> Steps:
        """For the next patch from the rank before."""
        step, patch = divmod(self.asked, self.patches)
        payloads = [
            self.line.like(stream, step, tensor.unsqueeze(1).unsqueeze(0))
            for stream, tensor in self._streams(patch, self._likes(), self.first)
        ]
        length = sum(payload.numel() for payload in payloads)
        like = torch.empty(length, dtype=payloads[0].dtype, device=payloads[0].device)
        before = self.team.group.ranks[self.team.place - 1]
        self.coming.append((yield Recv("hidden", like, before, self.team.group)))
        self.asked += 1

    def _taken(self, step: int, patch: int, message: Any) -> Steps:
        """The tokens in a message."""
        streams = self._streams(patch, self._likes(), self.first)
        values = [(stream, like.unsqueeze(1).unsqueeze(0)) for stream, like in streams]
        shapes = [tuple(self.line.like(stream, step, value).shape) for stream, value in values]
        h = []
        for (stream, value), payload in zip(values, split(message, *shapes), strict=True):
            taken = yield from self.line.unpack(stream, step, payload, value)
            h.append(taken[0].squeeze(1))
        return tuple(h)

    def _advance(self, patch: int) -> Steps:
        """Move a patch of the latent by the velocity that has come back."""
        velocity = self.velocities.popleft()
        if self.team.size > 1:
            velocity = yield Wait(velocity)
        guided = yield from self.guide(velocity)
        self.latent[patch] = yield Compute(self.job.advance, self.latent[patch], guided)

    def _streams(self, patch: int, h: Any, layer: int) -> list[tuple[Stream, Any]]:
        """Each tensor of a patch on its way to a layer, and the stream that it is part of."""
        return [
            (Stream(("hidden",), layer, patch * len(h) + number), tensor)
            for number, tensor in enumerate(h)
        ]

    def _likes(self) -> list[Any]:
        """Tensors of the shapes and type of what comes in."""
        return self._empty(state_shapes(self.job, self.patches, self.first))

    def _velocity_shape(self) -> tuple[int, ...]:
        shape = self.job.preset
        return self.job.batch, shape.tokens // self.patches, shape.channels

    def _empty(self, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
        return [
            torch.empty(shape, dtype=self.job.torch_dtype, device=self.job.device)
            for shape in shapes
        ]


def layers_of(job: Job, place: int, stages: int) -> tuple[int, int]:
    """The first layer of a stage, and the first after it; as even as can be."""
    layers = job.preset.layers
    return place * layers // stages, (place + 1) * layers // stages


def state_shapes(job: Job, patches: int, layer: int) -> list[tuple[int, int, int]]:
    """What comes to a layer for one of so many patches: image, text if any, and what skips layers.

    Each is (B, tokens, width).
    """
    shape = job.preset
    image = job.batch, shape.tokens // patches, shape.hidden
    text = shape.joint_tokens(1)
    width = shape.hidden if shape.text is None else shape.text.width or shape.hidden
    beside = [(job.batch, text, width)] if text else []
    return [image, *beside, *[image] * shape.skips(layer)]


def _kept(kv: torch.Tensor) -> torch.Tensor:
    """A copy, which does not hold on to the queries that it was made with."""
    return kv.clone()


def _whole(*parts: torch.Tensor) -> torch.Tensor:
    return torch.cat(parts, dim=1)
