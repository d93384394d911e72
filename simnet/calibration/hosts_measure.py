"""Measures a network of unequal hosts in seconds, on the ranks of a live process group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from time import sleep
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from simnet.calibration.case import Case
from simnet.calibration.measure import Bench, Progress
from simnet.calibration.programs import PROGRAMS, Program

#: One way between two hosts whose buckets are full; both ways at once; a collective.
ONE_WAY, BOTH_WAYS = "rested", "rested_both"
COLLECTIVES = ("all_gather", "all_reduce", "all_to_all")  # for a look at how good the fit is

_REST_S = 0.06  # any bucket with less than that of its rate is full again
_LONGEST_S = 0.12  # of a message between hosts
_FIRST_PROBE_BYTES, _LAST_PROBE_BYTES = 2**18, 2**23
_PROBED_S = 0.02
_REPETITIONS, _OF_SMALL = 4, 30
_INSIDE_BYTES = 2**22
_COLLECTIVE_S = 0.05  # about, for the bytes that a rank brings to one


class Step(NamedTuple):
    """Pairs of ranks that exchange so many bytes each at the same time."""

    kind: str
    pairs: tuple[tuple[int, int], ...]
    nbytes: tuple[int, ...]


def measure_hosts(places: Sequence[int]) -> Iterator[Progress]:
    """Measure what `fit_hosts` needs; `places` is the host of each rank.

    torch.distributed is initialised with gloo, with 2 ranks or more.
    """
    bench = Bench("cpu")
    first = leaders(places)
    steps: list[Step | Case] = []
    if len(first) > 1:
        rates = {pair: _probe(bench, pair) for pair in {*_pairs(first)}}
        slowest = min(rates.values())
        steps += _small((first[0], first[1]))
        steps += [_step(ONE_WAY, pairs, rates, part) for pairs in _rounds(first) for part in (3, 1)]
        steps.append(_step(BOTH_WAYS, [(first[0], first[1])], rates, 1))
    else:
        slowest = _probe(bench, (0, 1))
    if (inside := _inside(places)) is not None:
        steps += _small(inside)
        steps.append(Case("ping", inside, _INSIDE_BYTES))
    everyone = tuple(range(len(places)))
    nbytes = _whole(slowest * _COLLECTIVE_S)
    steps += [Step(kind, (everyone,), (nbytes,)) for kind in COLLECTIVES]  # type: ignore[arg-type]
    for done, step in enumerate(steps, start=1):
        rows = _rows(bench, step)
        yield Progress(done, len(steps), rows if bench.rank == 0 else [])


def leaders(places: Sequence[int]) -> list[int]:
    """The first rank of each host."""
    return [places.index(host) for host in sorted(set(places))]


def _inside(places: Sequence[int]) -> tuple[int, int] | None:
    """The first two ranks that share a host."""
    for one, other in pairwise(range(len(places))):
        if places[one] == places[other]:
            return one, other
    return None


def _rounds(first: Sequence[int]) -> list[list[tuple[int, int]]]:
    """All pairs, in rounds in which nobody has two (the circle method)."""
    circle: list[int | None] = [*first, *([None] if len(first) % 2 else [])]
    rounds = []
    for _ in range(len(circle) - 1):
        half = len(circle) // 2
        met = zip(circle[:half], reversed(circle[half:]), strict=True)
        rounds.append([(a, b) for a, b in met if a is not None and b is not None])
        circle = [circle[0], circle[-1], *circle[1:-1]]
    return rounds


def _pairs(first: Sequence[int]) -> Iterator[tuple[int, int]]:
    for pairs in _rounds(first):
        yield from pairs


def _small(pair: tuple[int, int]) -> list[Step | Case]:
    return [Case("ping", pair, 1), Case("stream", pair, 1, 32), Case("late", pair, 1)]


def _step(
    kind: str,
    pairs: Sequence[tuple[int, int]],
    bytes_per_s: dict[tuple[int, int], float],
    part: int,
) -> Step:
    sizes = tuple(_whole(bytes_per_s[pair] * _LONGEST_S / part) for pair in pairs)
    return Step(kind, tuple(pairs), sizes)


def _whole(nbytes: float) -> int:
    """Of float32, for any number of ranks up to 16 but 7, 9, 11, 13, 14."""
    return max(1, int(nbytes) // 960) * 960


def _probe(bench: Bench, pair: tuple[int, int]) -> float:
    """About what the way carries, in bytes a second."""
    nbytes = _FIRST_PROBE_BYTES
    while True:
        seconds = [min(bench.times_s(Case("ping", pair, nbytes, 1, 1.0), 1))]
        dist.broadcast_object_list(seconds, src=0)
        if seconds[0] > _PROBED_S or nbytes >= _LAST_PROBE_BYTES:
            return nbytes / seconds[0]
        nbytes *= 4


def _rows(bench: Bench, step: Step | Case) -> list[dict[str, Any]]:
    if isinstance(step, Case):
        return step.rows(bench.times_s(step, _OF_SMALL if step.nbytes == 1 else _REPETITIONS))
    rows = []
    for number, starts_ends in enumerate(_rested(bench, step)):
        for pair, nbytes in zip(step.pairs, step.nbytes, strict=True):
            spans = [starts_ends[rank] for rank in pair]
            ends = spans if step.kind != ONE_WAY else spans[1:]
            # The receiver of a single message was ready before it began.
            begun = spans[:1] if step.kind == ONE_WAY else spans
            seconds = max(end for _, end in ends) - max(start for start, _ in begun)
            starts = [start - min(start for start, _ in spans) for start, _ in spans]
            row = Case(step.kind, pair, nbytes).rows([seconds], number)[0]
            rows.append(row | {"starts_s": starts})
    return rows


def _rested(bench: Bench, step: Step) -> list[list[list[float]]]:
    """Start and end of each rank in each repetition; between them all links rest."""
    spans = []
    for _ in range(_REPETITIONS + 1):
        sleep(_REST_S)
        spans.append(bench.once(_program(bench, step)))
    mine = torch.tensor(spans[1:], dtype=torch.float64)  # the first was to warm up
    everyone = [torch.empty_like(mine) for _ in range(bench.world)]
    dist.all_gather(everyone, mine)
    times: list[list[list[float]]] = torch.stack(everyone, dim=1).tolist()
    return times


def _program(bench: Bench, step: Step) -> Program:
    """This rank's part."""
    for pair, nbytes in zip(step.pairs, step.nbytes, strict=True):
        if bench.rank in pair:
            kind = {ONE_WAY: "one_way", BOTH_WAYS: "both"}.get(step.kind, step.kind)
            return PROGRAMS[kind](Case(kind, pair, nbytes), bench.buffers)
    return iter(())
