"""Where tokens go when there are no tokens: how many slots fall to each expert in a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from traces.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HELP = "expected even, zipf-0.8 or the like, or a trace that was recorded with --keep chosen"


class Where(NamedTuple):
    """Whose tokens, and when; `slot` is the one of each that is sent, None for all."""

    rank: int
    step: int
    steps: int
    layer: int
    layers: int
    slot: int | None = None


class Before(NamedTuple):
    """An exchange of tokens of a step, with one slot of each alone, or None for all."""

    step: int
    slot: int | None = None


class Routing(Protocol):
    """How unevenly experts are wanted."""

    def loads(self, slots: int, experts: int, where: Where) -> list[int]:
        """How many of a rank's slots fall to each expert; they add up."""
        ...

    def agreement(
        self, experts: int, where: Where, before: Sequence[Before]
    ) -> Sequence[float] | None:
        """Which share of those slots had their token go to that expert before, by expert.

        None: it knows nothing of that.
        """
        ...


@dataclass(frozen=True)
class Zipf:
    """The r-th most wanted expert is wanted r^-skew times as often as the first; 0 is evenly.

    Which expert that is changes from layer to layer. Every rank's tokens want the same ones, which
    is the worst for the network.
    """

    skew: float = 0.0

    @staticmethod
    def parse(text: str) -> Routing:
        """Any kind of routing: "even", "zipf-0.8", or a trace's folder.

        Raises InputError for what is none of these.
        """
        if text == "even":
            return EVEN
        if not text.startswith("zipf-"):
            return Captured(text)
        try:
            skew = float(text.removeprefix("zipf-"))
        except ValueError:
            skew = -1.0
        if not 0 <= skew <= 100:
            raise InputError(f"routing is {text!r}, {_HELP}")
        return Zipf(skew)

    def loads(self, slots: int, experts: int, where: Where) -> list[int]:
        """See Routing."""
        return list(_zipf(self.skew, slots, experts, where.layer % experts))

    def agreement(self, experts: int, where: Where, before: Sequence[Before]) -> None:
        """See Routing."""
        del experts, where, before

    def __str__(self) -> str:
        return f"zipf-{self.skew!r}" if self.skew else "even"


EVEN = Zipf()


@dataclass(frozen=True)
class Captured:
    """As the gate of a recorded run chose: of a run with --keep chosen, at the same share of it.

    Ranks beyond those recorded want what the recorded ones want, in turn.
    """

    trace: str  # its folder

    def loads(self, slots: int, experts: int, where: Where) -> list[int]:
        """See Routing; raises InputError for a trace without choices, or of other experts."""
        shares = _shares(self.trace, where.slot)
        ranks, steps, layers, count = shares.shape
        if count != experts:
            raise InputError(f"{self.trace}: its model has {count} experts, expected {experts}")
        step, layer = where.step * steps // where.steps, where.layer * layers // where.layers
        return _rounded(shares[where.rank % ranks, step, layer].tolist(), slots)

    def agreement(self, experts: int, where: Where, before: Sequence[Before]) -> Sequence[float]:
        """See Routing."""
        ranks, steps, layers = _shares(self.trace, None).shape[:3]
        place = where.rank % ranks, where.layer * layers // where.layers
        now = Before(where.step * steps // where.steps, where.slot)
        then = (of._replace(step=of.step * steps // where.steps) for of in before)
        return _agreement(self.trace, experts, place, (now, *then))

    def __str__(self) -> str:
        return self.trace


@lru_cache(maxsize=8)
def _shares(folder: str, slot: int | None) -> NDArray[np.float64]:
    """Of a rank's slots that each expert gets: (ranks, steps, layers, experts).

    Of all slots, or of this one of each token.
    """
    import numpy as np

    chosen, experts = _chosen(folder)
    if slot is not None:
        chosen = chosen[..., slot]
    slots = chosen.reshape(*chosen.shape[:3], -1)
    counts = [(slots == expert).mean(axis=-1) for expert in range(experts)]
    return np.stack(counts, axis=-1)


@lru_cache(maxsize=2)
def _chosen(folder: str) -> tuple[NDArray[np.float64], int]:
    """Experts of each token's slots, (ranks, steps, layers, tokens, slots); how many there are."""
    import numpy as np

    from simnet.models.presets import preset
    from traces.trace import Trace

    if not Path(folder).is_dir():
        raise InputError(f"routing is {folder!r}, {_HELP}")
    trace = Trace.open(folder)
    experts = preset(trace.run.model).experts
    if experts is None or "chosen" not in trace.kept():
        raise InputError(f"{folder}: holds no choices of experts; {_HELP}")
    chosen = trace.activations("chosen").to_numpy()
    if np.isnan(chosen).any():
        raise InputError(f"{folder}: lacks the choices of some ranks or steps; record it whole")
    return chosen, experts.count


@lru_cache(maxsize=4096)
def _agreement(
    folder: str, experts: int, place: tuple[int, int], exchanges: tuple[Before, ...]
) -> tuple[float, ...]:
    """Of a (rank, layer): of each expert's slots in the first exchange, those also in others."""
    import numpy as np

    chosen, _ = _chosen(folder)
    rank, layer = place

    def wanted(exchange: Before) -> NDArray[np.bool_]:
        slots = slice(None) if exchange.slot is None else [exchange.slot]
        theirs = chosen[rank, exchange.step, layer][:, slots]
        there: NDArray[np.bool_] = (theirs[..., None] == np.arange(experts)).any(axis=1)
        return there

    now, then = wanted(exchanges[0]), np.any([wanted(each) for each in exchanges[1:]], axis=0)
    both, every = (now & then).sum(axis=0), now.sum(axis=0)
    return tuple((both / np.maximum(every, 1)).tolist())


@lru_cache(maxsize=4096)
def _zipf(skew: float, slots: int, experts: int, first: int) -> tuple[int, ...]:
    wanted = [((expert - first) % experts + 1) ** -skew for expert in range(experts)]
    return tuple(_rounded(wanted, slots))


def _rounded(wanted: Sequence[float], slots: int) -> list[int]:
    """So many slots, shared out as wanted: each gets what the sum so far has come to."""
    scale = slots / sum(wanted)
    ends = [round(scale * total) for total in accumulate(wanted)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
