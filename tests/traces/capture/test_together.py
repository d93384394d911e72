"""Ranks agree on a header and on a time, whatever their hosts' clocks show."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import pytest
import torch.distributed as dist

from traces.capture import together
from traces.capture.together import Team
from traces.clocks import RankClock
from traces.errors import InputError, RunError
from traces.operation import Operation
from traces.run import Run
from traces.store import PartWriter
from traces.trace import Trace

RUN = Run("tiny", "captured", 3, 0, "captured", "toy", "wire", started="now")
#: rank -> (host, seconds that its clock is ahead of the true time, how fast it runs).
CLOCKS = {0: ("a", 0.0, 1.0), 1: ("b", 1000.0, 1.0 + 8e-3), 2: ("b", 1000.0, 1.0 + 8e-3)}
BEGAN_S = perf_counter()


def shown(rank: int) -> Callable[[], float]:
    """What the rank's clock shows."""
    _, ahead_s, speed = CLOCKS[rank]
    return lambda: ahead_s + speed * (perf_counter() - BEGAN_S)


@pytest.fixture
def teams() -> list[Team]:
    """Three ranks on two hosts, whose clocks differ and drift."""
    store = dist.HashStore()
    made = [Team(rank, 3, store, host, shown(rank)) for rank, (host, *_) in CLOCKS.items()]
    for team in made:
        team._prefix = "capture"  # one process plays them all
    return made


def each(teams: list[Team], does: Callable[[Team], RankClock]) -> list[RankClock]:
    """All ranks at once."""
    with ThreadPoolExecutor(len(teams)) as pool:
        return list(pool.map(does, teams))


def test_planted_offsets_and_drift_are_taken_out(teams: list[Team], tmp_path: Path) -> None:
    """What happened at the same time on all hosts has the same time in the trace."""
    events: dict[int, list[float]] = {0: [], 1: [], 2: []}
    clocks = each(teams, lambda team: team.begin(tmp_path / "T", RUN, overwrite=False))
    together_s = perf_counter()
    while perf_counter() < together_s + 0.3:  # long enough to drift by 2.4 ms
        for team in teams:
            events[team.rank].append(team.now() - team.zero_s)
    clocks = each(teams, lambda team: team.end(clocks[team.rank]))
    for rank, clock in enumerate(clocks):
        part = PartWriter(tmp_path / "T", rank)
        times = events[rank][:: max(1, len(events[rank]) // 50)][:50]
        rows = [
            Operation(rank, n, "compute", "compute", "f", 0, 0, t, t, cost_s=0.0)
            for n, t in enumerate(times)
        ]
        part.step_done(0, rows, {})
        part.close()
        (part.folder / "clock.json").write_text(json.dumps(clock.to_json()))

    trace = Trace.open(tmp_path / "T")

    starts = [rows["start_s"].to_numpy() for _, rows in trace.ops.groupby("rank")]
    errors = [trace.clocks[rank].error_s for rank in range(3)]
    assert errors[0] == 0.0
    assert 0 < errors[1] == errors[2] < 0.1
    assert clocks[1].drift == pytest.approx(-8e-3, rel=0.5)
    for rank in (1, 2):
        # Read one after the other, a few microseconds apart, and 0.5 ms where others had the core.
        assert abs(starts[rank] - starts[0]).mean() < errors[rank] + 5e-4


def test_all_take_the_first_ranks_header(teams: list[Team], tmp_path: Path) -> None:
    """Others' are not the same to the letter, as the time of day is in them."""
    each(
        teams,
        lambda team: team.begin(
            tmp_path / "T", replace(RUN, started=str(team.rank)), overwrite=False
        ),
    )
    assert json.loads((tmp_path / "T" / "run.json").read_text())["started"] == "0"


def test_hosts_without_a_common_disk_each_make_their_folder(
    teams: list[Team], tmp_path: Path
) -> None:
    """The same header to the letter, so that the parts can be brought together."""
    each(teams, lambda team: team.begin(tmp_path / team.host, RUN, overwrite=False))
    headers = [(tmp_path / host / "run.json").read_text() for host in "ab"]
    assert headers[0] == headers[1]


def test_a_folder_that_is_taken_on_one_host_is_told_to_all(
    teams: list[Team], tmp_path: Path
) -> None:
    """None begins."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").touch()
    with ThreadPoolExecutor(3) as pool:
        begun = [
            pool.submit(team.begin, tmp_path / team.host, RUN, overwrite=False) for team in teams
        ]
    for future in begun:
        assert isinstance(future.exception(), InputError)
        assert str(future.exception()).startswith("rank 1: ")


def test_a_rank_that_does_not_come_is_waited_for_so_long(
    teams: list[Team], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the others are told."""
    monkeypatch.setattr(together, "BEGIN_TIMEOUT", timedelta(seconds=0.2))
    with pytest.raises(RunError, match="the other ranks did not begin a recording within"):
        teams[0].begin(tmp_path / "T", RUN, overwrite=False)


def test_ranks_that_are_gone_at_the_end_leave_one_reading(
    teams: list[Team], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offset of the beginning is all there is then."""
    monkeypatch.setattr(together, "END_TIMEOUT", timedelta(seconds=0.2))
    clocks = each(teams, lambda team: team.begin(tmp_path / "T", RUN, overwrite=False))
    ended = teams[1].end(clocks[1])
    assert ended == clocks[1]
    assert ended.drift == 0.0


def test_a_rank_alone_asks_nobody(tmp_path: Path) -> None:
    """Its clock is the common axis."""
    team = Team(0, 1)
    clock = team.end(team.begin(tmp_path / "T", replace(RUN, ranks=1), overwrite=False))
    assert (clock.drift, clock.error_s) == (0.0, 0.0)
