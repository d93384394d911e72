"""Synchronous layers for a budget of time: measured harm, predicted latency, and the choice."""

from __future__ import annotations

import json

import pytest

from analysis.quality.forecast import Forecast
from analysis.quality.mask import Harm, Mask, chosen_within, masks, stretched, written
from simnet.cli import BAD_INPUT, OK, call
from traces.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("layers", "text"),
    [((), "none"), ((3,), "3"), ((5, 2, 3), "2-3.5"), ((0, 1, 2), "0-2"), ((0, 2, 4), "0.2.4")],
)
def test_layers_are_written_as_schedules_take_them(layers: tuple[int, ...], text: str) -> None:
    """In order, runs of them as ranges."""
    assert written(layers) == text


def test_layers_stand_for_the_same_share_of_a_deeper_model() -> None:
    """All for all, none for none, and the first of three for the first third."""
    assert stretched([0], 3, 9) == [0, 1, 2]
    assert stretched([0, 1, 2], 3, 10) == list(range(10))
    assert stretched([], 3, 9) == []
    assert stretched([1], 4, 4) == [1]


def test_the_most_harmful_layers_stay_synchronous_first() -> None:
    """Each one more costs time; with all of them it is the synchronous schedule's."""
    found = [Harm(0, 0.5), Harm(1, 3.0), Harm(2, 2.0), Harm(3, 1.0)]
    forecast = Forecast("dit-moe-nano", "l20", 16, ("ethernet-10g",))
    rows = masks(found, forecast, ranks=4, steps=6)
    assert [row.sync for row in rows] == ["none", "1", "1-2", "1-3", "0-3"]
    assert [row.predicted_sync for row in rows] == [row.sync for row in rows]
    shares = [row.share for row in rows]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_choice_is_the_largest_that_fits() -> None:
    """And a budget below the least is refused with that."""
    rows = [Mask(n, "", "", 1.0, share) for n, share in enumerate((0.6, 0.7, 0.9, 1.0))]
    assert chosen_within(rows, 0.89).layers == 1
    assert chosen_within(rows, 0.9).layers == 2
    with pytest.raises(InputError, match=r"budget is 0\.5 .* takes 0\.600 of it at least"):
        chosen_within(rows, 0.5)


def test_the_command_measures_predicts_and_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    """Every layer does some harm alone, and the most harmful one is kept before others."""
    arguments = "--images 4 --batch 2 --ranks 2 --steps 4 --predict-model dit-moe-nano --gpu l20"
    assert call(["mask", *arguments.split(), "--network", "ethernet-1g", "--json"]) == OK
    told = json.loads(capsys.readouterr().out)
    errors = {row["layer"]: row["error"] for row in told["measured"]}
    assert set(errors) == set(range(6))
    assert min(errors.values()) > 0
    assert told["predicted"][1]["sync"] == str(max(errors, key=lambda layer: errors[layer]))
    assert told["chosen"] in told["predicted"]
    assert told["chosen"]["share"] <= 0.85


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "dit-moe-nano"), "random weights"),
        (("--model", "dit-fashion"), "has no experts"),
        (("--predict-model", "dit-xl-2"), "has no experts"),
        (("--ranks", "3"), "cannot share evenly"),
        (("--network", "tin-cans"), "unknown network"),
    ],
)
def test_what_will_not_do_is_refused_before_anything_is_made(
    options: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its name."""
    assert call(["mask", *options]) == BAD_INPUT
    assert message in capsys.readouterr().err
