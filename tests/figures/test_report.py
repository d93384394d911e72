"""`thinwire report`: what it writes, and what it will not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from simnet.cli import BAD_INPUT, OK, call
from traces.trace import Trace

PREDICT = ["predict", "--model", "dit-tiny", "--gpu", "l20", "--network", "ethernet-1g"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a trace R, one S of another schedule, and one L of fewer steps."""
    made = tmp_path_factory.mktemp("traces")
    for name, schedule, steps in (("R", "ring", 3), ("S", "distrifusion", 3), ("L", "ring", 2)):
        more = ["--ranks", "2", "--schedule", schedule, "--steps", str(steps)]
        assert call([*PREDICT, *more, "--out", str(made / name)]) == OK
    return made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, as the one to work in."""
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_it_binds_traces_their_figures_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """The same page again, byte for byte; what is there is replaced."""
    assert call(["report", "R", "S", "--out", "page.html"]) == OK
    assert capsys.readouterr().out.splitlines() == ["page.html"]
    page = Path("page.html")
    first = page.read_bytes()
    assert call(["report", "R", "S", "--out", "page.html"]) == OK

    assert page.read_bytes() == first
    page.unlink()
    assert len(first) < 10_000_000
    assert first.count(b"<img ") >= 2
    assert b"thinwire report R S --out page.html" in first
    assert b"times as fast as R" in first


@pytest.mark.slow
def test_of_a_killed_recording_the_steps_of_all_ranks_are_told_of(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing is on stderr, and in the page."""
    whole = Trace.open(here / "R")
    recorded = (whole.ops["rank"] == 0) | (whole.ops["step"] < 2)
    Trace(whole.run, whole.ops[recorded]).save(tmp_path / "K")
    page = tmp_path / "page.html"

    assert call(["report", str(tmp_path / "K"), "--out", str(page)]) == OK
    lost = "rank 1: recording ended after 2 of 3 steps"
    assert lost in capsys.readouterr().err
    assert lost in page.read_text()
    assert "2 ranks, 2 steps (of 3 that there were to be)" in page.read_text()


def test_a_recording_without_a_rank_is_refused(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No step is common to all."""
    shutil.copytree(here / "R", tmp_path / "K")
    shutil.rmtree(tmp_path / "K" / "rank-1")

    assert call(["report", str(tmp_path / "K"), "--out", str(tmp_path / "x.html")]) == BAD_INPUT
    assert "nothing was recorded of rank 1" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "requires an argument"),
        (["missing"], "missing"),
        (["R/rank-0"], "run.json"),
        (["R", "L"], "R and L are runs of different work.*steps is 3 and 2"),
        (["R", "--out", "page.pdf"], "must end in .html"),
        (["R", "--out", "nowhere/page.html"], "folder 'nowhere' does not exist"),
        (["R", "--out", "R/page.html"], "would lie in the trace 'R'"),
    ],
)
def test_what_will_not_do_is_refused_before_the_work(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do; nothing is written."""
    assert call(["report", *arguments]) == BAD_INPUT

    assert re.search(told, "".join(capsys.readouterr()), re.IGNORECASE | re.DOTALL)
    assert not list(Path().rglob("*.html"))


def test_a_folder_in_the_place_of_the_page_stays(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only an ordinary file is replaced."""
    (tmp_path / "page.html").mkdir()

    assert call(["report", str(here / "R"), "--out", str(tmp_path / "page.html")]) == BAD_INPUT
    assert "no ordinary file" in capsys.readouterr().err
