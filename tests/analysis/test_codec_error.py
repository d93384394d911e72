"""What codecs lose over the steps: the closed form, and the codecs themselves on seeded numbers."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis.codec_error import COLUMNS, WAYS, predicted, table
from traces.errors import InputError

RATIO = 0.14


@pytest.fixture(scope="module")
def errors() -> pd.DataFrame:
    """The two codecs of the figure in the docs."""
    return table(["residual-1bit", "residual-2bit"], 28, RATIO)


def test_every_step_but_the_raw_one_has_a_row_for_each_way(errors: pd.DataFrame) -> None:
    """In the order in which the codecs were asked for."""
    assert list(errors) == list(COLUMNS)
    assert errors["codec"].unique().tolist() == ["residual-1bit", "residual-2bit"]
    for _, line in errors.groupby(["codec", "way"]):
        assert line["step"].tolist() == list(range(1, 28))


@pytest.mark.parametrize(("name", "nmse"), [("residual-1bit", 0.361), ("residual-2bit", 0.148)])
def test_the_closed_form_starts_from_the_published_error(
    errors: pd.DataFrame, name: str, nmse: float
) -> None:
    """CompactFusion's codecs on Gaussian numbers in one shot."""
    shown = errors[errors["codec"] == name]["one_shot_nmse"]
    assert shown.unique() == pytest.approx([nmse], rel=0.015)


@pytest.mark.parametrize("way", WAYS)
def test_codecs_do_what_the_closed_form_says(errors: pd.DataFrame, way: str) -> None:
    """Within sampling error, and what comes of an activation that keeps its variance."""
    line = errors[errors["way"] == way]
    assert len(line) == 54
    assert line["simulated"].to_numpy() == pytest.approx(line["predicted"].to_numpy(), rel=0.03)


@pytest.mark.parametrize("name", ["residual-1bit", "residual-2bit"])
def test_errors_walk_without_feedback_and_stay_with_it(errors: pd.DataFrame, name: str) -> None:
    """27 steps: sqrt(27) times the first without; sqrt(1 / (1 - nmse)) times with."""
    of_codec = errors[errors["codec"] == name].set_index(["way", "step"])["simulated"]
    nmse = errors[errors["codec"] == name]["one_shot_nmse"].iloc[0]
    grown = {way: of_codec[way, 27] / of_codec[way, 1] for way in WAYS}
    assert grown["without feedback"] == pytest.approx(math.sqrt(27), rel=0.03)
    assert grown["with feedback"] == pytest.approx(math.sqrt(1 / (1 - nmse)), rel=0.03)
    assert grown["naive"] == pytest.approx(1, rel=0.01)


def test_feedback_ends_where_gain_and_loss_balance() -> None:
    """e^2 = d (1 + e^2) of the residual's variance."""
    settled = predicted("with feedback", 0.361, RATIO, 200)
    assert settled == pytest.approx(RATIO * math.sqrt(0.361 / (1 - 0.361)))
    assert predicted("naive", 0.361, RATIO, 200) == pytest.approx(math.sqrt(0.361))


def test_the_same_numbers_come_every_time(errors: pd.DataFrame) -> None:
    """Everything is seeded, and codecs do not know of each other."""
    again = table(["residual-2bit"], 28, RATIO)
    first = errors[errors["codec"] == "residual-2bit"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, first)


@pytest.mark.parametrize(
    ("codecs", "steps", "ratio", "message"),
    [
        (["residual-1bit"], 1, 0.14, "1 steps, expected 2 or more; the first is raw"),
        (["residual-1bit"], 28, 0.0, "a residual of 0 times the activation, expected more than 0"),
        (["residual-1bit"], 28, 1.5, "1.5 times the activation"),
        (["residual-1bit"], 28, math.nan, "nan times the activation"),
        ([], 28, 0.14, "name at least one, such as residual-1bit"),
        (["2bit"], 28, 0.14, "'2bit' is no plain residual of order 1"),
        (["residual2-2bit"], 28, 0.14, "'residual2-2bit' is no plain residual of order 1"),
        (["residual-1bit:error_feedback=0"], 28, 0.14, "is no plain residual of order 1"),
        (["residual-3bit"], 28, 0.14, "unknown codec 'residual-3bit'"),
    ],
)
def test_what_makes_no_figure_is_refused(
    codecs: list[str], steps: int, ratio: float, message: str
) -> None:
    """Saying what was expected instead."""
    with pytest.raises(InputError, match=message):
        table(codecs, steps, ratio)
