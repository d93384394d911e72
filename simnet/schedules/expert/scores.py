"""Which gate's scores weigh outputs that were asked for some time ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.schedules.expert.choice import Choice
from simnet.schedules.expert.slots import Arrived, Routed


@dataclass(frozen=True)
class Scores(Choice):
    """A choice of scores (N, E), and of the experts (N, k) whose scores to take.

    `stale` takes those of the tokens that were sent, and `latest` the current tokens', both for
    the experts whose outputs they weigh. `latest-by-position` takes the current tokens' best
    scores, whosever outputs they meet, as the released code does.
    """

    what: ClassVar[str] = "choice of scores"
    names: ClassVar[tuple[str, ...]] = ("stale", "latest", "latest-by-position")

    def of(self, now: Routed, arrived: Arrived) -> tuple[Any, Any]:
        """For what has arrived, of the current step or another."""
        if self.name == "stale":
            return arrived.routed.scores, arrived.experts
        return now.scores, now.chosen if self.name == "latest-by-position" else arrived.experts


STALE, BY_POSITION = Scores("stale"), Scores("latest-by-position")
