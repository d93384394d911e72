"""What is tried: all that the library has."""

from __future__ import annotations

import pytest

from analysis.plan.space import Plan, plans, uncoded
from simnet.codecs.named import names
from simnet.schedules.named import INNER, OUTER, innermost, schedule
from traces.errors import InputError


def test_every_schedule_is_tried() -> None:
    """Each registered schedule stands in the list for eight ranks, or for one."""
    tried = [schedule(text) for ranks in (1, 8) for text in uncoded(ranks)]
    assert {innermost(one).name for one in tried} == set(INNER)
    assert {one.name for one in tried} >= set(OUTER)


def test_every_codec_is_tried_on_a_ring() -> None:
    """All but those that code nothing."""
    tried = {plan.text for plan in plans(4) if isinstance(plan, Plan)}
    coded = {f"ring/{name}" for name in names() if not name.endswith("raw")}
    assert coded <= tried
    assert "ring/raw" not in tried


def test_degrees_are_those_that_divide_the_ranks() -> None:
    """Ulysses inside USP, patches by the ranks of a team, and teams."""
    tried = set(uncoded(8))
    assert {"usp:ulysses=2", "usp:ulysses=4", "pipefusion:patches=32"} <= tried
    assert {"data:images=2+cfg+ring", "data:images=8+single", "cfg+usp:ulysses=2"} <= tried
    assert not tried & {"usp", "usp:ulysses=8", "usp:ulysses=3", "single"}


def test_nothing_is_tried_twice() -> None:
    """Each text stands for another plan."""
    texts = list(uncoded(8))
    assert len(texts) == len({schedule(text) for text in texts}) == len(set(texts))


@pytest.mark.parametrize(("schedules", "codecs"), [(["rind"], []), (["tensor"], ["2bits"])])
def test_an_unknown_name_is_refused(schedules: list[str], codecs: list[str]) -> None:
    """Also a codec that no schedule there would take."""
    with pytest.raises(InputError, match="unknown"):
        list(plans(4, schedules, codecs))
