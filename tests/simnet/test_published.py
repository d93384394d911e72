"""Predictions of published latencies: their terms, their figures, and the command."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import simpy

from simnet.cli import BAD_INPUT, FAILED, OK, call
from simnet.costs import Roofline
from simnet.devices import device
from simnet.job import Job
from simnet.network.files import find
from simnet.network.fluid import Fluid, Side
from simnet.network.graph import Graph
from simnet.network.presets import NETWORKS, network
from simnet.schedules.named import schedule
from simnet.validation.published import papers
from simnet.validation.published.constants import CONSTANTS
from simnet.validation.published.figures import Bar, Pair, figures, kendall, percentile
from simnet.validation.published.predict import Predictor, Run, paced, step_ends
from simnet.validation.published.prediction import Missing, Predicted, predict_all
from simnet.validation.published.report import Report
from simnet.validation.published.table import COLUMNS, DATA, Row, read
from traces.errors import InputError

L40 = Roofline(device("l40"))


@pytest.mark.parametrize(
    ("model", "text", "ranks"),
    [
        ("mmdit-tiny", "usp:ulysses=2", 4),
        ("crossdit-tiny:layers=12", "cfg+ring", 4),
        ("skipdit-tiny:layers=12", "ulysses", 2),
        ("mmdit-tiny:layers=12:single=5", "tensor", 4),
        ("dit-tiny:layers=12", "distrifusion", 4),
    ],
)
def test_few_layers_and_steps_tell_how_long_many_take(model: str, text: str, ranks: int) -> None:
    """As long as all of them, simulated."""
    job = Job(model, ranks, dtype="bfloat16")
    where = network("pcie-4-p2p")
    whole = step_ends(job, schedule(text), 16, L40, where)
    assert paced(job, text, L40, where).total_s(16) == pytest.approx(whole[-1], rel=1e-9)


def test_messages_that_converge_get_less_all_together() -> None:
    """1/(1 + a (k - 1)) of the rate while they are k, and all of it once one is alone."""
    env = simpy.Environment()
    fluid, side = Fluid(env), Side("slot", 12.0, contention=0.5)
    first = fluid.start([side], 12.0)
    fluid.start([side], 4.0)
    env.run(first)
    # Two at 12 / 1.5 / 2 = 4 each, until the second one is through after 1 s; then 8 at 12.
    assert env.now == pytest.approx(1 + 8 / 12)


def test_an_all_to_all_collapses_where_a_ring_does_not() -> None:
    """By the topology: no rate belongs to a strategy."""
    bridge = NETWORKS["8xl40-pcie4-bridge"]
    job = {n: Job("pixart-alpha", n, dtype="bfloat16") for n in (2, 8)}
    ring, ulysses = (
        [paced(job[n], text, L40, bridge).step_s for n in (2, 8)] for text in ("ring", "ulysses")
    )
    assert ring[1] < ring[0]
    assert ulysses[1] > 2 * ulysses[0]


def run(**changes: Any) -> Run:
    """Of a small model."""
    name = "pixart-alpha"
    return Run(name, name, "cfg+single", 2, 20, 10.0, 0.0, eager=False)._replace(**changes)


def test_one_gpu_is_what_was_published_of_it() -> None:
    """And two that share guidance take half of that, but for what is serial."""
    predictor = Predictor(device("a100-sxm"), NETWORKS["infinite"], CONSTANTS)
    alone = run(schedule="single", ranks=1)
    assert predictor.seconds(alone) == pytest.approx(10)
    halved_s = predictor.seconds(run())
    assert halved_s == pytest.approx(5, rel=0.08)
    assert predictor.seconds(run(serial_s=4.0)) == pytest.approx(4 + 0.6 * halved_s, rel=1e-6)


def test_a_host_that_issues_kernels_one_by_one_sets_a_floor() -> None:
    """However fast the GPUs are, when they run eagerly."""
    predictor = Predictor(device("a100-sxm"), NETWORKS["infinite"], CONSTANTS)
    fast = run(alone_s=0.1)
    least_s = 20 * 500 * CONSTANTS.kernel_s
    assert predictor.seconds(fast._replace(eager=True)) > least_s > predictor.seconds(fast)


def test_figures_are_of_errors_and_of_order_inside_groups() -> None:
    """Groups of two tell no order; equal ones are both the best."""
    pairs = [
        Pair("a", 1.0, 1.1), Pair("a", 2.0, 1.9), Pair("a", 3.0, 1.5), Pair("b", 4.0, 4.0),
        Pair("b", 5.0, 1.0),
    ]  # fmt: skip
    found = figures("x", pairs, Bar(median=0.11, p90=0.9, tau=0.3, best=1.0))
    assert (found.cases, found.groups, found.best) == (5, 1, 1.0)
    assert found.median == pytest.approx(0.1)
    assert found.p90 == pytest.approx(0.8)
    assert found.tau == pytest.approx(1 / 3)
    assert found.passed
    assert not figures("x", pairs, Bar(median=0.05, p90=0.9)).passed
    assert not figures("x", [], Bar(median=0.5, p90=0.9)).passed
    assert kendall([Pair("a", 1.0, 1.0)] * 3) is None
    assert math.isnan(percentile([], 0.9))


ALONE = {
    "source": "a report", "model": "PixArt-Alpha", "resolution": "512x512", "steps": "20",
    "gpu": "L40", "link": "none", "ngpu": "1", "strategy": "single", "latency_s": "1.0",
    "notes": "[table] compile",
}  # fmt: skip
TWO = ALONE | {"ngpu": "2", "link": "PCIe4", "strategy": "cfg", "cfg": "2", "latency_s": "0.79"}


def table(path: Path, *rows: dict[str, str]) -> Path:
    """A table of these rows."""
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, COLUMNS)
        lines.writeheader()
        lines.writerows(rows)
    return path


def test_the_command_predicts_a_table_that_it_has_never_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With figures, reasons for what is left out, and all rows in a folder."""
    path = table(tmp_path / "t.csv", ALONE, TWO, TWO | {"model": "SDXL"})
    command = ["validate", "published", "--table", str(path), "--json"]
    assert call([*command, "--out", str(tmp_path / "out")]) == OK
    [suite] = json.loads(capsys.readouterr().out)["suites"]
    assert (suite["suite"], suite["cases"], suite["pass"]) == ("published", 1, True)
    assert suite["not_represented"] == {"U-Net models": 1}
    assert suite["kendall_tau"] is None
    with (tmp_path / "out" / "published.csv").open() as file:
        saved = list(csv.DictReader(file))
    assert [bool(row["predicted_s"]) for row in saved] == [True, False]
    assert saved[0]["published_s"] == "0.79"
    assert (tmp_path / "out" / "published.parquet").is_file()


def test_a_suite_that_misses_its_limits_ends_in_failure_after_printing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the reader sees how far off it is."""
    path = table(tmp_path / "t.csv", ALONE, TWO | {"latency_s": "5"})
    assert call(["validate", "published", "--table", str(path)]) == FAILED
    said = capsys.readouterr()
    assert "furthest off" in said.out
    assert "published: 1, " in said.err


def test_a_table_with_a_bad_cell_is_refused_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is simulated."""
    path = table(tmp_path / "t.csv", ALONE, TWO | {"ngpu": "many"})
    assert call(["validate", "published", "--table", str(path)]) == BAD_INPUT
    assert "line 3: ngpu is 'many'" in capsys.readouterr().err


def rows_of(*sources: str) -> list[Row]:
    """Rows of the committed table."""
    return [row for row in read(DATA) if row.source.startswith(sources)]


def test_rows_are_predicted_or_missing_with_a_reason() -> None:
    """None is dropped."""
    rows = rows_of("AsyncDiff", "Allegro")
    found = list(predict_all(rows))
    assert len(found) == sum(row.ngpu > 1 for row in rows)
    assert [each.row.model for each in found if isinstance(each, Predicted)] == ["Allegro"]
    assert {each.reason for each in found if isinstance(each, Missing)} == {"U-Net models"}


@pytest.mark.slow
def test_the_published_record_is_predicted_as_well_as_is_said() -> None:
    """On both halves, on the whole, and with the best method in four groups of five."""
    report = Report(list(predict_all(read(DATA))))
    found = report.figures()
    assert found.passed
    assert found.cases + len(report.missing()) > 270
    for half in (True, False):
        rows = [row for row in report.inside if row.row.fitted is half]
        assert percentile((abs(row.error) for row in rows), 0.5) < 0.10


@pytest.mark.slow
def test_what_the_two_papers_say_is_predicted_as_well_as_is_said() -> None:
    """Latencies of CompactFusion, and speedups of DICE."""
    l20, ethernet = papers.compactfusion()
    assert ethernet.passed
    assert (l20.median, l20.p90) < (0.06, 0.12)
    assert papers.dice().passed


def test_contention_is_read_from_a_file_and_refused_below_zero(tmp_path: Path) -> None:
    """As of any other number of a link."""
    text = 'ranks = ["a", "b"]\n[[link]]\nname = "l"\nfrom = "a"\nto = "b"\nrate = "1GB/s"\n'
    path = tmp_path / "box.toml"
    path.write_text(text + "contention = 1.5\n")
    found = find(str(path))
    assert isinstance(found, Graph)
    assert found.hops["l >"].contention == 1.5
    path.write_text(text + "contention = -0.5\n")
    with pytest.raises(InputError, match=r"contention is -0\.5"):
        find(str(path))
