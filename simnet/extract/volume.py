"""How much each rank computes and sends in one forward, by kind of transfer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simnet.extract.noted import Exchange, Part
from simnet.extract.recording import transfer
from simnet.ops import wire_bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """Transfers of one kind in groups of one size."""

    kind: str
    members: int
    calls: int
    bytes: int  # payload
    wire_bytes: int


@dataclass(frozen=True, slots=True)
class Volume:
    """One rank's forward."""

    flop: int  # of matrix products
    sent: tuple[Sent, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {"flop": self.flop, "transfers": [asdict(sent) for sent in self.sent]}


def volumes(parts: Sequence[Part]) -> list[Volume]:
    """Of each rank, in their order."""
    return [_volume(rank, part) for rank, part in enumerate(parts)]


def _volume(rank: int, part: Part) -> Volume:
    kinds: dict[tuple[str, int], list[Exchange]] = defaultdict(list)
    for exchange in part.exchanges:
        kinds[exchange.kind, len(exchange.group.ranks)].append(exchange)
    return Volume(part.flop, tuple(_sent(rank, *key, alike) for key, alike in kinds.items()))


def _sent(rank: int, kind: str, members: int, alike: Sequence[Exchange]) -> Sent:
    payload = 0 if kind == "recv" else sum(each.nbytes for each in alike)
    wire = sum(wire_bytes(transfer(each), members, each.group.ranks.index(rank)) for each in alike)
    return Sent(kind, members, len(alike), payload, wire)
