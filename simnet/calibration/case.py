"""What is measured: one kind of transfer, of one size, between these ranks."""

from __future__ import annotations

from typing import NamedTuple

#: Of the table: `bytes` is what one member brings (of `stream`, each of its `messages`).
COLUMNS = ("kind", "ranks", "bytes", "messages", "repetition", "seconds")

#: Between the first two ranks of a case; the first one's clock decides.
BETWEEN_TWO = ("ping", "stream", "late", "both")
COLLECTIVES = ("all_gather", "all_reduce", "all_to_all", "broadcast", "reduce_scatter")


class Case(NamedTuple):
    """One point of a sweep. `estimate_s` is about how long it takes."""

    kind: str
    ranks: tuple[int, ...]
    nbytes: int
    messages: int = 1
    estimate_s: float = 0.0

    @property
    def group(self) -> str:
        """The ranks as tables have them."""
        return ",".join(map(str, self.ranks))

    def rows(self, times_s: list[float], first: int = 0) -> list[dict[str, object]]:
        """Rows of the table, one for each repetition; `first` is the number of the first."""
        return [
            {
                "kind": self.kind,
                "ranks": self.group,
                "bytes": self.nbytes,
                "messages": self.messages,
                "repetition": repetition,
                "seconds": seconds,
            }
            for repetition, seconds in enumerate(times_s, start=first)
        ]
