"""Teams: processes that are told what to do, and say what came of it."""

from __future__ import annotations

import sys

import pytest

from simnet.lab.site import ThisHost
from simnet.lab.team import Team
from traces.errors import RunError

#: Answers every order with its rank and what it was told, but for a few that it takes amiss.
ECHO = """
import json, os, sys, time
rank = int(os.environ["RANK"])
for line in sys.stdin:
    order = json.loads(line)
    if order == "die" and rank == 1:
        print("out of luck", file=sys.stderr)
        sys.exit(7)
    if order == "fail" and rank == 1:
        print(json.dumps({"error": "no idea"}), flush=True)
    elif order == "nothing":
        print("null", flush=True)
    elif order != "hang":
        print(json.dumps([rank, order]), flush=True)
"""


@pytest.fixture
def words() -> list[str]:
    """The command of a rank."""
    return [sys.executable, "-c", ECHO]


def test_all_ranks_are_told_the_same_and_answers_are_in_their_order(words: list[str]) -> None:
    """Again and again, with the same processes."""
    with Team(ThisHost(3), words) as team:
        for order in ("first", {"second": [1, 2.5]}):
            assert team.ask(order, 60) == [[0, order], [1, order], [2, order]]
        assert team.ask("nothing", 60) == [None] * 3


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("fail", "rank 1: no idea"),
        ("die", "rank 1 ended with exit code 7: out of luck"),
        ("hang", "the ranks were not done after 0.5 s"),
    ],
)
def test_a_rank_that_does_not_answer_is_told(words: list[str], order: str, message: str) -> None:
    """Which one, and why; nothing is waited for that cannot come."""
    with Team(ThisHost(2), words) as team, pytest.raises(RunError, match=message):
        team.ask(order, 0.5 if order == "hang" else 60)
    assert all(member.process.returncode is not None for member in team.members)


def test_a_team_whose_rank_is_gone_does_not_break_the_next_order(words: list[str]) -> None:
    """It is refused with the reason again."""
    with Team(ThisHost(2), words) as team:
        team.members[1].process.kill()
        team.members[1].process.wait()
        with pytest.raises(RunError, match="rank 1 was killed by signal 9"):
            team.ask("anything", 60)
