"""Selections by name: a library's, with other algorithms or measured efficiencies for some kinds.

nccl
gloo,all_to_all=pairwise
nccl,all_reduce=hierarchical:4,all_gather@0.93
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simnet.network.collectives import uneven
from simnet.network.collectives.flow import Lowering, Round, Sizes, Uneven
from simnet.network.collectives.hierarchical import HIERARCHICAL, on_hosts
from simnet.network.collectives.nccl import NCCL
from simnet.network.collectives.overlay import pipelined
from simnet.network.collectives.selection import (
    GLOO,
    GLOO_POSTED,
    RING,
    Efficient,
    Selection,
    algorithms,
)
from simnet.network.path import Paths
from traces.errors import InputError, unknown

#: What the text of a selection begins with.
SELECTIONS: dict[str, Selection] = {
    chosen.name: chosen for chosen in (RING, GLOO, GLOO_POSTED, NCCL)
}


@dataclass(frozen=True)
class Chosen:
    """Another selection, with these algorithms by name for some kinds of exchange.

    `choices` are (kind, algorithm), as `algorithm` takes them. Raises InputError as it does.
    """

    selection: Selection
    choices: tuple[tuple[str, str], ...]
    _lowerings: dict[str, Lowering] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        chosen = {kind: algorithm(kind, name) for kind, name in self.choices}
        object.__setattr__(self, "_lowerings", chosen)

    @property
    def name(self) -> str:
        """The selection's, and each choice."""
        return ",".join([self.selection.name, *(f"{kind}={name}" for kind, name in self.choices)])

    def rounds(self, kind: str, ranks: Sequence[int], nbytes: float, paths: Paths) -> list[Round]:
        """See Selection."""
        lower = self._lowerings.get(kind)
        return lower(ranks, nbytes) if lower else self.selection.rounds(kind, ranks, nbytes, paths)

    def uneven(self, ranks: Sequence[int], sizes: Sizes) -> list[Round]:
        """See Selection."""
        name = dict(self.choices).get("all_to_all")
        lower = self.selection.uneven if name is None else uneven_algorithm(name)
        return lower(ranks, sizes)


def algorithm(kind: str, name: str) -> Lowering:
    """The algorithm that is called so: "ring", "chain:16" or "hierarchical:4:8".

    A last number is that of chunks it is pipelined in; hierarchical takes that of ranks per host
    before. Raises InputError for a kind or name that is not known, with the nearest that is, and
    for numbers that are missing or make no sense.
    """
    head, per_host, chunks = _numbers(kind, name)
    lower = on_hosts(kind, per_host) if per_host else algorithms(kind)[head]
    return pipelined(lower, chunks) if chunks else lower


def uneven_algorithm(name: str) -> Uneven:
    """The same for an all-to-all of parts that differ: in chunks, each part is cut into so many."""
    head, per_host, chunks = _numbers("all_to_all", name)
    even = algorithms("all_to_all")
    lower = uneven.on_hosts(per_host) if per_host else uneven.UNEVEN[even[head]]
    return uneven.pipelined(lower, chunks) if chunks else lower


def _numbers(kind: str, name: str) -> tuple[str, int, int]:
    """An algorithm's name, ranks per host if it is for hosts, and chunks; else 0."""
    plain = algorithms(kind)
    head, *tail = name.split(":")
    counts = [_count(text, f"{kind}={name}") for text in tail]
    per_host = 0
    if head == "hierarchical" and kind in HIERARCHICAL:
        if not counts:
            raise InputError(
                f"{kind}={name}: how many ranks has a host? Write for example hierarchical:4"
            )
        per_host = counts.pop(0)
    elif head not in plain:
        known = [*plain, *(["hierarchical"] if kind in HIERARCHICAL else [])]
        raise unknown(f"algorithm for {kind}:", head, known)
    if len(counts) > 1:
        raise InputError(f"{kind}={name}: too many numbers; the last one is that of chunks")
    return head, per_host, counts[0] if counts else 0


def selection(text: str) -> Selection:
    """The selection that is called so: a library's name, then choices and efficiencies.

    Raises InputError for what is not known, with the nearest that is, and for what is there twice.
    """
    base, *parts = [part.strip() for part in text.split(",")]
    if base not in SELECTIONS:
        raise unknown("selection of collectives", base, SELECTIONS)
    choices: dict[str, str] = {}
    efficiency: dict[str, float] = {}
    for part in parts:
        kind, sign, value = _parted(part, text)
        if kind in (choices if sign == "=" else efficiency):
            raise InputError(f"selection {text!r}: {kind}{sign} is there twice; keep one")
        if sign == "=":
            choices[kind] = value
        else:
            efficiency[kind] = _number(value, part)
    chosen = SELECTIONS[base]
    if choices:
        chosen = Chosen(chosen, tuple(choices.items()))
    return with_efficiency(chosen, efficiency)


def with_efficiency(selection: Selection, efficiency: Mapping[str, float]) -> Selection:
    """The selection, with these measured efficiencies beside those that it may have.

    Raises InputError for a kind that has one already, and as Efficient does.
    """
    if not efficiency:
        return selection
    own: Mapping[str, float] = {}
    if isinstance(selection, Efficient):
        own, selection = selection.efficiency, selection.selection
    for kind in efficiency:
        if kind in own:
            raise InputError(
                f"the efficiency of {kind} is given twice, as {kind}@{own[kind]} and as "
                f"{efficiency[kind]}; keep one"
            )
    return Efficient(selection, {**own, **efficiency})


def _parted(part: str, text: str) -> tuple[str, str, str]:
    for sign in "=@":
        kind, found, value = part.partition(sign)
        if found:
            return kind.strip(), sign, value.strip()
    raise InputError(
        f"selection {text!r}: {part!r} is neither a choice, such as all_reduce=tree, nor an "
        "efficiency, such as all_gather@0.93"
    )


def _number(text: str, part: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{part}: {text!r} is no number; write for example 0.93") from None


def _count(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise InputError(f"{what}: {text!r} is no number of chunks or ranks, from 1 up")
    return int(text)
