"""What a recorded program sends, seen from afar: kinds, counts in a layer, teams, and lateness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from traces.columns import MESSAGES
from traces.errors import InputError
from traces.shape import parse_shape

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace

#: Kinds with a smaller share of the bytes are by the way: numbers of rows, flags.
_SMALL = 0.02
#: Kinds of which there are so much fewer than of another are not in every layer.
_FEW = 0.3


@dataclass(frozen=True)
class Traffic:
    """A program's transfers, apart from barriers.

    `ops` are all rows of the trace. Where layers were recorded only transfers inside them tell of
    how a model is shared; where none was, all of them have to do.
    """

    ops: pd.DataFrame
    ranks: int

    @classmethod
    def of(cls, trace: Trace) -> Traffic:
        """Raises TraceError for rows that make no sense."""
        return cls(trace.ops, trace.run.ranks)

    @cached_property
    def transfers(self) -> pd.DataFrame:
        """Rows that move something; of a message its sender's."""
        ops = self.ops
        moves = (ops["stream"] != "compute") & ~ops["kind"].isin(("barrier", "recv"))
        return ops[moves]

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Those that were recorded; () where none was."""
        found = self.ops["layer"]
        return tuple(sorted(set(found[found >= 0])))

    @cached_property
    def inside(self) -> pd.DataFrame:
        """Transfers inside layers, without the kinds that are small.

        Where ranks have layers of their own, those between them.
        """
        rows = self.transfers[~self._apart]
        sent = rows.groupby("kind")["wire_bytes"].sum()
        large = sent.index[sent > _SMALL * sent.sum()]
        return rows[rows["kind"].isin(large)]

    @cached_property
    def outside(self) -> pd.DataFrame:
        """Transfers outside layers, as far as that is known."""
        return self.transfers[self._apart]

    @cached_property
    def _apart(self) -> pd.Series[bool]:
        """Of each transfer, whether it is outside the layers.

        Without layers, kinds of which there are few are taken to be.
        """
        rows = self.transfers
        if self.layers:
            return (rows["layer"] < 0) & (not self.own_layers)
        counts = rows["kind"].value_counts()
        return rows["kind"].isin(counts.index[counts < _FEW * counts.max()])

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Of the transfers inside; messages of either kind count as "message"."""
        return frozenset("message" if k in MESSAGES else k for k in set(self.inside["kind"]))

    @cached_property
    def typical_step(self) -> int:
        """In the middle; where that sends nothing, the one that sends the most."""
        sent = self.inside.groupby("step")["wire_bytes"].sum()
        steps = sorted(set(self.ops["step"]))
        middle = steps[len(steps) // 2]
        if sent.empty or sent.get(middle, 0):
            return int(middle)
        return int(sent.sort_values().index[-1])

    def in_a_step(self, kind: str) -> int:
        """So many transfers of a kind does one rank ask for in a step; the most of any."""
        rows = self._of(kind)
        counts = rows[rows["step"] == self.typical_step].groupby("rank").size()
        return int(counts.max()) if len(counts) else 0

    def in_a_layer(self, kind: str, layers: int | None = None) -> int | None:
        """The same in a layer: what most layers have; None where that is not known.

        `layers` is how many the model has, for a recording without.
        """
        if not self.layers:
            count = self.in_a_step(kind)
            return None if not layers or count % layers else count // layers
        rows = self._of(kind)
        rows = rows[rows["step"] == self.typical_step]
        counts = Counter(rows.groupby(["rank", "layer"]).size())
        return int(counts.most_common(1)[0][0]) if counts else 0

    def members(self, kind: str) -> int:
        """How many ranks take part in most transfers of a kind."""
        sizes = Counter(self._of(kind)["group"].str.count(",") + 1)
        return int(sizes.most_common(1)[0][0])

    def peers(self) -> frozenset[int]:
        """How many ranks further on messages go, cyclically in the group."""
        found = set()
        row: Any
        for row in self._of("message")[["rank", "dst", "group"]].drop_duplicates().itertuples():
            group = [int(member) for member in row.group.split(",")]
            found.add((group.index(row.dst) - group.index(row.rank)) % len(group))
        return frozenset(found)

    def late(self, kind: str) -> pd.Series[float]:
        """For each step, the share of transfers of a kind that were waited for later."""
        rows = self._of(kind)[["rank", "seq", "step"]]
        waits = self.ops.loc[self.ops["kind"] == "wait", ["rank", "waits_for", "step"]]
        first = waits.groupby(["rank", "waits_for"])["step"].min().rename("waited")
        joined = rows.join(first, on=["rank", "seq"])
        late = (joined["waited"] > joined["step"]).astype("float64")  # not of what nobody waits for
        return late.groupby(joined["step"]).mean()

    @cached_property
    def uneven(self) -> float:
        """The share of transfers inside layers whose parts differ."""
        parts = self.inside["parts"]
        unlike = {text: len(set(text.split(","))) > 1 for text in set(parts)}
        return float(parts.map(unlike).mean()) if len(parts) else 0.0

    @cached_property
    def teams(self) -> list[frozenset[int]]:
        """Ranks that exchange something inside layers, directly or not."""
        groups = [_ranks(text) for text in set(self.inside["group"])]
        return connected(range(self.ranks), groups)

    @cached_property
    def own_layers(self) -> bool:
        """Whether each layer is computed by one rank only."""
        rows = self.ops[(self.ops["kind"] == "compute") & (self.ops["layer"] >= 0)]
        owners = rows.groupby("layer")["rank"].nunique()
        return self.ranks > 1 and len(owners) > 1 and bool((owners == 1).all())

    @cached_property
    def dtype(self) -> str | None:
        """The type that most bytes travel in; None where no shape was recorded."""
        described = self.inside[self.inside["shape"] != ""]
        sent = described.groupby("shape")["wire_bytes"].sum().sort_values()
        for text in reversed(sent.index):
            try:
                ((_, dtype),) = parse_shape(str(text))
            except (InputError, ValueError):
                continue
            return dtype
        return None

    def _of(self, kind: str) -> pd.DataFrame:
        kinds = MESSAGES if kind == "message" else (kind,)
        return self.inside[self.inside["kind"].isin(kinds)]


def _ranks(text: str) -> frozenset[int]:
    return frozenset(int(member) for member in text.split(","))


def connected(ranks: Iterable[int], groups: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    """The ranks in sets, of which no group joins two."""
    return sorted(_joined([frozenset([rank]) for rank in ranks], groups), key=min)


def _joined(
    teams: list[frozenset[int]], groups: Iterable[frozenset[int]]
) -> Iterator[frozenset[int]]:
    for group in groups:
        touched = [team for team in teams if team & group]
        rest = [team for team in teams if not team & group]
        teams = [*rest, frozenset().union(*touched)] if touched else teams
    yield from teams
