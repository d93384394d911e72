"""All that could be run: schedules, their degrees and their codecs, from the library's own tables.

What a schedule or codec is called stands nowhere here: a new one is tried as soon as it is in
`simnet.schedules.named` or `simnet.codecs.named`. Only which values a parameter is tried at does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from simnet.codecs.named import codec
from simnet.codecs.named import names as codec_names
from simnet.codecs.raw import Raw
from simnet.schedules.base import TeamSchedule
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.expert.conditional import Policy
from simnet.schedules.expert.layers import Layers
from simnet.schedules.expert.rows import Precision
from simnet.schedules.named import INNER, innermost, parameters, schedule
from simnet.schedules.outer import CfgParallel, DataParallel
from simnet.schedules.single import Single
from traces.errors import InputError

#: What a parameter is tried at besides its default, by its name and the ranks of a team. Those
#: that are not here keep their defaults: they change neither bytes nor age, or describe traffic.
VALUES: Mapping[str, Callable[[int], Sequence[object]]] = {
    "ulysses": lambda ranks: [d for d in divisors(ranks) if 1 < d < ranks],  # else ring, ulysses
    "patches": lambda ranks: [2 * ranks, 4 * ranks],  # as xDiT's benchmark; by default one a rank
    "warmup_steps": lambda _: [2],
    "wire": lambda _: Precision.names,
    "sync": lambda _: Layers.names,
    "skip": lambda _: Policy.names,
}
#: Parameters without a default that stands for itself: of so many ranks, it may be none.
_NO_DEFAULT = ("ulysses",)


class Plan(NamedTuple):
    """One thing to run."""

    text: str  # as `thinwire predict --schedule` takes it
    schedule: TeamSchedule


class Refused(NamedTuple):
    """One thing that cannot be run, or not within what was asked."""

    text: str
    why: str
    amount: float = math.nan  # bytes that it needs, or decibels that it has


def plans(
    ranks: int, schedules: Sequence[str] | None = None, codecs: Sequence[str] | None = None
) -> Iterator[Plan | Refused]:
    """Every schedule with every codec that it takes and with none; on so many ranks.

    Of these schedules and codecs alone, where they are given. Raises InputError for a name that is
    unknown.
    """
    if codecs is None:
        codecs = [name for name in codec_names() if not name.endswith(Raw.name)]
    for name in codecs:
        codec(name)
    for text in uncoded(ranks) if schedules is None else schedules:
        bare = schedule(text)
        yield Plan(text, bare)
        if "/" in text or not takes_codec(bare):
            continue
        for name in codecs:
            whole = f"{text}/{name}"
            try:
                yield Plan(whole, schedule(whole))
            except InputError as error:
                yield Refused(whole, str(error))


def takes_codec(chosen: TeamSchedule) -> bool:
    """Whether there is something to code."""
    return hasattr(innermost(chosen), "codec")


def uncoded(ranks: int) -> Iterator[str]:
    """Schedules without codecs: teams of all ranks, of some, and for each forward of guidance."""
    for teams, halves in product(divisors(ranks), (1, 2)):
        if ranks % (teams * halves):
            continue
        size = ranks // teams // halves
        around = f"{DataParallel.name}:images={teams}+" if teams > 1 else ""
        around += f"{CfgParallel.name}+" if halves > 1 else ""
        for name, kind in INNER.items():
            if issubclass(kind, Single) != (size == 1):
                continue  # one rank is a single device, whatever shares nothing with it
            if around and issubclass(kind, ExpertSchedule):
                continue  # its ranks have images of their own already
            for text in degrees(name, kind, size):
                yield around + text


def degrees(name: str, kind: type[Any], ranks: int) -> Iterator[str]:
    """A schedule with its parameters at all values to try.

    Those of experts are changed one at a time, for there are many.
    """
    known = parameters(kind)
    each = {key: _values(key, known[key], ranks) for key in known if key in VALUES}
    if issubclass(kind, ExpertSchedule):
        yield name
        for key, values in each.items():
            for value in values[1:]:
                yield f"{name}:{key}={value}"
        return
    for chosen in product(*each.values()):
        pairs = zip(each, chosen, strict=True)
        told = [f":{key}={value}" for key, value in pairs if value is not None]
        yield name + "".join(told)


def _values(key: str, default: object, ranks: int) -> list[object | None]:
    """None for the default, then the others."""
    if key in _NO_DEFAULT:
        return list(VALUES[key](ranks))
    return [None, *(value for value in VALUES[key](ranks) if str(value) != str(default))]


def divisors(number: int) -> list[int]:
    """Those of a positive integer, the smallest first."""
    return [d for d in range(1, number + 1) if number % d == 0]
