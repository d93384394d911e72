"""`thinwire validate lab`: real ranks behind slow links, each run predicted, and what is left."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from simnet.cli import BAD_INPUT, FAILED, OK, call
from simnet.lab import cases
from simnet.lab.cases import Case, quick
from simnet.lab.namespaces import PREFIX, why_not
from simnet.lab.station import Station
from simnet.validation.lab import rows
from simnet.validation.lab_row import COLUMNS
from traces.errors import RunError
from traces.trace import Trace

REASON = why_not()
lab = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(REASON is not None, reason=f"no lab here: {REASON}"),
]


def left_over() -> list[str]:
    """Namespaces that this process has made and not removed."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"{PREFIX}{os.getpid()}-" in line]


def test_without_root_the_suite_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ends as for any argument that will not do."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert call(["validate", "lab", "--quick"]) == BAD_INPUT
    assert "network namespaces need root" in capsys.readouterr().err


class TestLab:
    """With real ones."""

    pytestmark = lab

    @pytest.mark.timeout(900)
    def test_the_quick_suite_comes_near_to_what_happens(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """On a machine that does other things as well; the command itself is stricter."""
        ended = call(["validate", "lab", "--quick", "--json", "--out", str(tmp_path)])
        found = json.loads(capsys.readouterr().out)["suites"]
        whole = found[0]

        assert ended == (OK if whole["pass"] else FAILED)
        assert [each["suite"] for each in found] == ["lab", "lab, paced", "lab, real"]
        assert whole["failed"] == []
        assert whole["cases"] == len(quick()) >= 12
        assert whole["median_abs_error"] <= 0.15
        table = pd.read_parquet(tmp_path / "lab.parquet")
        assert list(table.columns) == list(COLUMNS)
        assert (table["measured_exposed_s"] < table["measured_s"]).all()
        measured = Trace.open(next((tmp_path / "traces").iterdir()) / "measured")
        assert measured.run.evidence == "measured"
        assert left_over() == []

        call(["validate", "lab", "--quick", "--json", "--out", str(tmp_path), "--resume"])
        assert json.loads(capsys.readouterr().out)["suites"][0] == whole

    @pytest.mark.timeout(300)
    def test_a_case_that_fails_is_told_and_the_next_one_runs(self, tmp_path: Path) -> None:
        """On the same network, with a team of its own."""
        network = quick()[0].network
        wrong = Case(network, "ring", "no-such-codec")
        first, second = rows([wrong, Case(network, "ring")], tmp_path)

        assert first["flags"].startswith("failed: ")
        assert "no-such-codec" in first["flags"]
        assert second["measured_s"] > 0
        assert left_over() == []

    @pytest.mark.timeout(300)
    def test_a_team_that_dies_is_started_again(self, tmp_path: Path) -> None:
        """For the next order; the network stays as it is."""
        del tmp_path
        with Station(quick()[0].network) as station:
            with pytest.raises(RunError, match="KeyError"):
                station.run({"what": "is this?"})
            places = list(station.network.places)
            with pytest.raises(RunError, match="rank"):
                station.run({"run": {"schedule": "ring"}})
            assert station.run({"measure": places})
        assert left_over() == []

    def test_what_is_interrupted_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C in the middle of a case."""

        def interrupted(*_: object) -> None:
            assert left_over()
            raise KeyboardInterrupt

        monkeypatch.setattr(Station, "calibrated", interrupted)
        monkeypatch.setattr(cases, "quick", lambda: quick()[:1])
        assert call(["validate", "lab", "--quick"]) == 130
        assert left_over() == []
