"""What runs keep of their choices: read back from a run of a small mixture of experts."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.choices import choices, labels, owners, placed, row_bytes, teams
from analysis.routing import loads
from analysis.staleness_scores import error_by_score
from simnet.drivers.local import run_local
from simnet.job import Job
from simnet.schedules.named import schedule
from traces.trace import Trace

pytestmark = pytest.mark.usefixtures("one_thread")

KEEP = ("chosen", "scores", "age", "outputs", "label")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Two teams of two ranks, each with two images of their own."""
    path = tmp_path_factory.mktemp("run") / "T"
    text = "data:images=2+expert:placement=blocked"
    return run_local(schedule(text), Job("dit-moe-nano", 4, steps=2, images=2), path, keep=KEEP)


def test_a_run_keeps_the_classes_of_each_ranks_images(run: Trace) -> None:
    """Both forwards': for nothing in particular, class 10, and what is asked, image by image."""
    drawn = [labels(run, rank) for rank in range(4)]
    assert [[] if each is None else each.tolist() for each in drawn] == [
        [10, 10, 0, 1], [10, 10, 2, 3], [10, 10, 4, 5], [10, 10, 6, 7],
    ]  # fmt: skip
    assert loads(run)["class"].to_numpy().tolist() == [*range(8), 10]


def test_a_run_says_who_shares_experts_and_who_has_which(run: Trace) -> None:
    """Its teams, their placement, and what a row takes on the wire."""
    assert teams(run) == [(0, 1), (2, 3)]
    assert placed(run).name == "blocked"
    np.testing.assert_array_equal(owners(run, 8, None), [0, 0, 0, 0, 1, 1, 1, 1])
    assert row_bytes(run) == 48 * 4
    assert choices(run).experts == 8


def test_choices_are_of_the_best_scores(run: Trace) -> None:
    """The best first; and fresh outputs can be compared by them."""
    for step, chosen, scores in choices(run).of(1, 2):
        assert scores is not None
        np.testing.assert_array_equal(chosen, np.argsort(-scores, axis=1)[:, :2], f"step {step}")
    found = error_by_score(run)
    assert found["count"].sum() + found["unmatched"].sum() == 4 * 4 * 64 * 2
    assert found.attrs["gaps"].count("nothing was kept") == 0
