"""What operations take of a rank's host where that is always the same."""

from __future__ import annotations

from dataclasses import dataclass

from simnet.drivers.host import HostCosts, Spread


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds as in simnet.drivers.host.HostCosts, each a number."""

    gap_s: float = 0.0
    post_s: float = 0.0
    wake_s: float = 0.0
    late_s: float = 0.0

    @classmethod
    def of(cls, host: HostCosts) -> Pauses | None:
        """Those of a host; None where they are drawn from several."""
        spreads = (host.gap_s, host.post_s, host.wake_s, host.late_s)
        if any(len(set(spread)) > 1 for spread in spreads):
            return None
        return cls(*map(_only, spreads))

    def __bool__(self) -> bool:
        return self != Pauses()

    def before(self, *, posted: bool) -> float:
        """What goes by before an operation; `posted`: a transfer stands before it."""
        return self.post_s if posted else self.gap_s


def _only(spread: Spread) -> float:
    return spread[0] if spread else 0.0
