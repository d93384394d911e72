"""All that a plan says: what to run, what else is worth it, from which rates on, what more buys."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

from analysis.plan.crossings import AROUND, Crossing, crossings
from analysis.plan.curves import Curve
from analysis.plan.front import Worth
from analysis.plan.networks import rate_bps
from analysis.plan.quality import Source
from analysis.plan.search import Budget, Found, Line, Watch, search
from analysis.plan.setting import Setting
from analysis.plan.space import Plan, Refused
from analysis.plan.upgrades import Upgrade, faster_links, more_ranks
from simnet.schedules.named import schedule

#: Plans of the front that are told about, and schedules that are compared at all rates.
_SHOWN, _COMPARED = 8, 4
_DEGREES = re.compile(r":[^+]*")
#: A plan is told about where it is so much better than all faster ones: dB, hundredths of memory.
_BETTER = Worth(2, 2)


@dataclass
class Answer:
    """Of one setting and budget."""

    setting: Setting
    budget: Budget
    source: Source
    found: Found
    curves: dict[str, Curve] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        setting: Setting,
        tried: Sequence[Plan | Refused],
        source: Source,
        budget: Budget,
        watch: Watch,
    ) -> Answer:
        """Search; raises InputError where no plan is left."""
        return cls(setting, budget, source, search(setting, tried, source, budget, watch))

    def complete(self, watch: Watch) -> None:
        """Work out all of it, which takes a while."""
        parts = (lambda: self.of_codecs, lambda: self.of_pairs, lambda: self.upgrades)
        for part in watch(parts, len(parts)):
            part()

    @cached_property
    def front(self) -> list[Line]:
        """What no plan beats in latency, quality and memory, the fastest first."""
        return self.found.front

    @cached_property
    def shown(self) -> list[Line]:
        """Of the front, those that differ by more than a trifle from all that are faster."""
        told: list[Line] = []
        for line in self.front:
            least = Worth(line.worth.quality - _BETTER.quality, line.worth.free - _BETTER.free)
            if not any(
                one.worth.quality > least.quality and one.worth.free > least.free for one in told
            ):
                told.append(line)
        return told[:_SHOWN]

    def told_apart(self, line: Line) -> bool:
        """Whether it is sure to be slower than the first."""
        return not line.between.overlaps(self.front[0].between)

    @cached_property
    def compared(self) -> list[str]:
        """Of the plans that are told about, the fastest of each schedule whatever its degrees."""
        texts: dict[str, str] = {}
        for line in self.shown:
            texts.setdefault(_DEGREES.sub("", line.text.partition("/")[0]), line.text)
        return list(texts.values())[:_COMPARED]

    @cached_property
    def of_codecs(self) -> list[tuple[str, list[Crossing]]]:
        """For each coded plan compared: where it and the same without its codec change places.

        Empty where one of the two is faster throughout.
        """
        coded = [text for text in self.compared if "/" in text]
        return [(text, self._between(text, text.partition("/")[0])) for text in coded]

    @cached_property
    def of_pairs(self) -> list[Crossing]:
        """For each pair of those compared."""
        pairs = combinations(self.compared, 2)
        return [crossing for a, b in pairs for crossing in self._between(a, b)]

    @cached_property
    def upgrades(self) -> list[Upgrade]:
        """Faster links, and the next number of GPUs that can be used."""
        return list(self._upgrades())

    def _upgrades(self) -> Iterator[Upgrade]:
        texts = {text for coded in self.compared for text in (coded, coded.partition("/")[0])}
        within = [*(line.candidate for line in self.found.lines), *self.found.beaten]
        tried = [(one, self._curve(one.text)) for one in within if one.text in texts]
        yield from faster_links(self.setting, tried)
        more = more_ranks(self.setting, self.compared, self.source, self.budget)
        if more is not None and more.line.latency_s < self.front[0].latency_s:
            yield more

    def _between(self, one: str, other: str) -> list[Crossing]:
        if self.setting.ranks == 1 or math.isinf(rate_bps(self.setting.network)):
            return []
        return crossings(self._curve(one), self._curve(other), AROUND)

    def _curve(self, text: str) -> Curve:
        if text not in self.curves:
            self.curves[text] = Curve(self.setting, text, schedule(text))
        return self.curves[text]
