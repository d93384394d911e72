"""DistriFusion: attend to the other ranks' keys and values of the step before, never waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.ops import AllGather, Compute, Ticket, Wait
from simnet.schedules.base import Attention, Claims, SequenceParallel, Steps, Team
from simnet.schedules.joining import join, split
from simnet.schedules.volume import Volume
from simnet.schedules.wire import KV, Stream, Wire, wire
from traces.errors import InputError


@dataclass(frozen=True)
class DistriFusion(SequenceParallel):
    """Li et al. 2024, "DistriFusion: Distributed Parallel Inference", section 4 (displaced patch).

    After `warmup_steps` synchronous steps, a layer uses its own fresh keys and values and the
    others' from one step ago, whose all-gather had a whole step to complete in; `layers` says how
    many layers share one. Unlike in the published code, `warmup_steps` counts all synchronous
    steps (there, one comes on top), and the last step gathers nothing, for nobody would read it.

        rank 0 | layer 0: attend kv0 and old kv1 | layer 1 | ... | next step: layer 0 |
               | gather kv of layer 0 ......................... to be used here     |

    A codec's payloads are decoded when they are used.
    """

    name: ClassVar[str] = "distrifusion"
    warmup_steps: int = 1
    layers: int = 1
    codec: Rule | None = None

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        gathers = Gathers(wire(self.codec, team.size), team, job.preset.layers)

        def attention(block: Any, q: Any, kv: Any, step: int) -> Steps:
            layer, fresh = block.layer, step < self.warmup_steps
            if fresh:
                yield from gathers.begin(layer, step, kv, 1)
            used = gathers.latest[layer]
            if not fresh and step < job.steps - 1:
                yield from gathers.begin(layer, step, kv, self.layers)
            again = step == self.warmup_steps - 1
            patches = yield from gathers.patches(used, layer, kv, again=again)
            return (yield Compute(block.attend_patches, q, *patches))

        return attention

    def check(self, job: Job) -> None:
        """At least one step must be synchronous: there is nothing to be stale before it.

        And a codec must make less of what is sent.
        """
        super().check(job)
        for name in ("warmup_steps", "layers"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"distrifusion: {name} is {getattr(self, name)}, expected 1 or more"
                )
        if job.ranks > 1:
            Volume.of_kv(job).check(self.name, self.codec, job)

    def claims(self, job: Job) -> Claims:
        """2 (T/n) D (n - 1) elements a layer and gathered step; one step stale after warm-up.

        A message that came raw may also be the base that it left; it is counted as both.
        """
        fresh = min(self.warmup_steps, job.steps)
        gathered = job.steps if fresh == job.steps else job.steps - 1
        kv, codec = Volume.of_kv(job), self.codec if job.ranks > 1 else None
        sent = (job.ranks - 1) * kv.sent(codec, job, range(gathered))
        latest = kv.sent(codec, job, range(gathered - 1, gathered))
        kept = job.ranks * (latest + kv.bases(codec, job, range(gathered)))
        return Claims(
            wire_bytes=(sent,) * job.ranks,
            ages=(0,) * fresh + (1,) * (job.steps - fresh),
            kept_bytes=(kept,) * job.ranks,
        )


class Gathered(NamedTuple):
    """An all-gather under way: of the payloads of some layers, and from which step."""

    ticket: Ticket
    layers: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]  # of one rank's payloads
    step: int


class Gathers:
    """One rank's all-gathers of keys and values, each for some layers."""

    def __init__(self, line: Wire, team: Team, layers: int) -> None:
        self.line = line
        self.team = team
        self.layers = layers
        self.latest: dict[int, Gathered] = {}  # by layer
        self.ready: list[tuple[int, Any]] = []  # layers and their payloads, for the next one
        self.taken: dict[int, dict[int, Any]] = {}  # by layer, by owner: for another use

    def begin(self, layer: int, step: int, kv: Any, together: int) -> Steps:
        """Send a layer's, or put them by for so many layers to go together."""
        stream = Stream(KV, layer, self.team.rank)
        self.ready.append((layer, (yield from self.line.pack(stream, step, kv))))
        if len(self.ready) < together and layer < self.layers - 1:
            return
        layers, payloads = zip(*self.ready, strict=True)
        self.ready.clear()
        message = payloads[0] if len(payloads) == 1 else (yield Compute(join, *payloads))
        ticket = yield AllGather("kv", message, self.team.group)
        shapes = tuple(tuple(payload.shape) for payload in payloads)
        self.latest.update(dict.fromkeys(layers, Gathered(ticket, layers, shapes, step)))

    def patches(self, used: Gathered, layer: int, kv: Any, *, again: bool) -> Steps:
        """All ranks' keys and values: the others' as gathered, and one's own.

        A payload is decoded once; what is to be used `again` in the next step is put by.
        """
        messages = yield Wait(used.ticket)
        theirs = self.taken.pop(layer, {})
        if not theirs:
            for owner, message in zip(self.team.group.ranks, messages, strict=True):
                if owner != self.team.rank:
                    payload = message
                    if len(used.layers) > 1:
                        payload = split(message, *used.shapes)[used.layers.index(layer)]
                    stream = Stream(KV, layer, owner)
                    theirs[owner] = yield from self.line.unpack(stream, used.step, payload, kv)
        if again:
            self.taken[layer] = theirs
        return [theirs.get(owner, kv) for owner in self.team.group.ranks]
