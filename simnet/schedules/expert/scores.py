"""Which gate's scores weigh outputs that were asked for some time ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from simnet.schedules.expert.slots import Arrived, Routed
from traces.errors import unknown


@dataclass(frozen=True)
class Scores:
    """A choice of scores (N, E), and of the experts (N, k) whose scores to take.

    `stale` takes those of the tokens that were sent, and `latest` the current tokens', both for
    the experts whose outputs they weigh. `latest-by-position` takes the current tokens' best
    scores, whosever outputs they meet, as the released code does.
    """

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """One of the three."""
        if text not in _NAMES:
            raise unknown("choice of scores", text, _NAMES)
        return cls(text)

    def of(self, now: Routed, arrived: Arrived) -> tuple[Any, Any]:
        """For what has arrived, of the current step or another."""
        if self.name == "stale":
            return arrived.routed.scores, arrived.experts
        return now.scores, now.chosen if self.name == "latest-by-position" else arrived.experts

    def __str__(self) -> str:
        return self.name


_NAMES = ("stale", "latest", "latest-by-position")
STALE, BY_POSITION = Scores("stale"), Scores("latest-by-position")
