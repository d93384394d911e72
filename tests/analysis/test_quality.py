"""Pictures scored, schedules in closed loop, and rows that are not made twice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet
import pytest
import torch
from torch import Tensor

from analysis.quality.closed_loop import batches, gather
from analysis.quality.fingerprint import fingerprint
from analysis.quality.forecast import Forecast
from analysis.quality.results import Results
from analysis.quality.rows import Gallery, measured, rows
from analysis.quality.score import score
from analysis.quality.study import KEY, Case, Study, cases
from simnet.job import Job
from simnet.ops import Program
from simnet.schedules.base import Guide, Team
from simnet.schedules.named import schedule
from simnet.schedules.ring import RingAttention
from simnet.schedules.single import Single
from simnet.training.classifier import judge
from traces.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")

NO_FORECAST = Forecast("dit-nano", "rtx-4090", 1, ())


class Watched:
    """Remembers what was made, and how many parts of it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def __call__(self, name: str, parts: Iterable[Any], count: int) -> Iterator[Any]:
        """The same parts."""
        made = list(parts)
        assert len(made) == count
        if made:
            self.seen.append((name, len(made)))
        return iter(made)


@pytest.fixture(scope="module")
def compared(one_thread: None) -> dict[str, dict[str, Any]]:
    """What 12 pictures of 4 steps are worth, by schedule."""
    del one_thread
    study = Study("dit-fashion", images=12, batch=6)
    gallery = Gallery(study, Watched())
    names = ["ring", "ring/1bit", "ring/residual-1bit", "data:images=2+cfg+ring"]
    return {case.name: measured(gallery, case) for case in cases(names, [4])}


@pytest.fixture
def noise() -> Tensor:
    """Pictures without a pattern, enough for a covariance."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (80, 28, 28), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", ["ring", "data:images=2+cfg+ring"])
def test_without_loss_the_pictures_are_the_single_devices(
    compared: dict[str, dict[str, Any]], name: str
) -> None:
    """Up to rounding: a byte here or there, of which 77 dB is one in a picture."""
    row = compared[name]
    assert row["psnr_db"] is None or row["psnr_db"] > 60
    assert row["ssim"] > 0.9999
    assert row["accuracy"] == compared["single"]["accuracy"]


def test_pictures_equal_to_the_reference_are_counted_and_have_no_psnr(
    compared: dict[str, dict[str, Any]],
) -> None:
    """An infinite ratio is a gap, not a number."""
    row = compared["single"]
    assert (row["identical"], row["psnr_db"], row["psnr_error_db"]) == (12, None, None)
    assert row["ssim"] == pytest.approx(1)


def test_one_bit_of_the_change_does_better_than_one_bit_of_the_activation(
    compared: dict[str, dict[str, Any]],
) -> None:
    """At the same bytes: error feedback makes up for what the naive codec loses anew each step."""
    naive, residual = compared["ring/1bit"], compared["ring/residual-1bit"]
    assert naive["wire_bytes_per_image"] == residual["wire_bytes_per_image"]
    assert residual["psnr_db"] > naive["psnr_db"] + 2
    assert residual["ssim"] > naive["ssim"]


def test_bytes_of_an_image_are_the_schedules_claim(
    compared: dict[str, dict[str, Any]],
) -> None:
    """Of all ranks and steps, shared out over the batch."""
    job = Job("dit-fashion", 4, 4, images=6)
    for name in ("ring", "ring/residual-1bit"):
        claimed = sum(schedule(name).claims(job).wire_bytes) / 6
        assert compared[name]["wire_bytes_per_image"] == claimed


def test_few_images_have_no_frechet_distance_and_the_row_says_so(
    compared: dict[str, dict[str, Any]],
) -> None:
    """64 features need 65."""
    row = compared["ring"]
    assert row["frechet_test"] is row["frechet_single"] is None
    assert row["notes"] == "no Fréchet distance: 12 images, 65 or more are needed"


def test_a_set_is_scored_beside_itself(noise: Tensor) -> None:
    """No distance from itself, far from real clothes, and errors of means where they vary."""
    asked = torch.arange(80) % 10
    found = score(judge(), noise, noise, asked)
    assert found.frechet_single == pytest.approx(0, abs=1e-6)
    assert found.frechet_test is not None
    assert found.frechet_test > 1
    assert found.identical == 80
    assert found.ssim == pytest.approx((1.0, 0.0))
    share, error = found.accuracy
    assert share is not None
    assert error == pytest.approx(math.sqrt(share * (1 - share) / 80))
    assert found.notes == ()


def test_means_are_over_the_pictures_that_differ(noise: Tensor) -> None:
    """One off everywhere is 48.13 dB; equal pictures are counted instead."""
    other = noise // 2
    other[:2] = noise[:2] // 2 + 1
    found = score(judge(), other, noise // 2, torch.zeros(80, dtype=torch.int64))
    assert found.identical == 78
    assert found.psnr_db == pytest.approx((20 * math.log10(255), 0.0), abs=1e-9)


def test_pictures_of_one_colour_are_pointed_out(noise: Tensor) -> None:
    """They are scored all the same."""
    noise[5:8] = 7
    found = score(judge(), noise, noise, torch.zeros(80, dtype=torch.int64))
    assert found.notes == ("3 of 80 images are of one colour",)
    assert found.frechet_test is not None


def test_one_picture_has_means_without_errors(noise: Tensor) -> None:
    """And none at all is refused, as are sets that do not pair up."""
    found = score(judge(), noise[:1], noise[1:2], torch.zeros(1, dtype=torch.int64))
    assert found.psnr_db.mean is not None
    assert found.psnr_db.error is found.ssim.error is found.accuracy.error is None
    for made, single in ((noise[:0], noise[:0]), (noise, noise[1:])):
        with pytest.raises(InputError, match="expected as many of each, and at least 1"):
            score(judge(), made, single, torch.zeros(len(made)))


def test_pictures_of_another_size_are_refused(noise: Tensor) -> None:
    """The classifier knows 28 x 28 bytes."""
    for wrong in (noise[:, 1:], noise.float()):
        with pytest.raises(InputError, match=r"expected \(N, 28, 28\) of torch.uint8"):
            judge().see(wrong)


@dataclass(frozen=True)
class Spoilt(Single):
    """Gives one token of its second image a number that is none."""

    name: ClassVar[str] = "spoilt"

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """See Schedule."""
        x = yield from super().program(job, team, guide)
        x[1, 0, 0] = math.nan
        return x


def test_numbers_that_are_not_finite_make_a_gap_that_says_so() -> None:
    """No measure, rather than one of black pixels."""
    study = Study("dit-fashion", images=4, batch=2)
    row = measured(Gallery(study, Watched()), Case("spoilt", Spoilt(), 1))
    assert row["notes"] == "no measure: 2 of 4 are not finite"
    assert row["accuracy"] is row["psnr_db"] is row["ssim"] is row["identical"] is None


def test_images_do_not_depend_on_the_batch() -> None:
    """Image 3 is the same, third of four or alone in its batch; what fills the last is left out."""
    made = {
        size: gather(batches(Single(), job, 5), job, 5)
        for size in (1, 2, 4)
        for job in (Job("dit-fashion", 1, 2, images=size),)
    }
    assert {len(one.pictures) for one in made.values()} == {5}
    for size in (2, 4):
        difference = made[size].pictures.int() - made[1].pictures.int()
        assert difference.abs().max() <= 1


def test_finished_rows_are_found_again(tmp_path: Path) -> None:
    """After an interruption only the rest is made; a new network only adds a prediction."""
    chosen = cases(["ring", "ring/1bit"], [2])
    study, path = Study("dit-fashion", images=4, batch=4), tmp_path / "rows.csv"
    first = Watched()
    begun = rows(Gallery(study, first), chosen, Results(path, KEY), NO_FORECAST)
    rows_before = [next(begun), next(begun)]
    assert [name for name, _ in first.seen] == ["single, 2 steps", "ring, 2 steps"]

    again = Watched()
    forecast = Forecast("dit-nano", "rtx-4090", 1, ("ethernet-1g",))
    rows_after = list(rows(Gallery(study, again), chosen, Results(path, KEY), forecast))
    assert [name for name, _ in again.seen] == [
        "predicting single, 2 steps",
        "predicting ring, 2 steps",
        "single, 2 steps",
        "ring/1bit, 2 steps",
        "predicting ring/1bit, 2 steps",
    ]
    for before, after in zip(rows_before, rows_after, strict=False):
        assert after == before | {"latency_s ethernet-1g": after["latency_s ethernet-1g"]}
    third = Watched()
    assert list(rows(Gallery(study, third), chosen, Results(path, KEY), forecast)) == rows_after
    assert third.seen == []


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 2}, {"images": 3}])
def test_rows_of_something_else_do_not_count(tmp_path: Path, change: dict[str, int]) -> None:
    """All that pictures depend on is in the key; the old row stays beside the new one."""
    path, chosen = tmp_path / "rows.parquet", cases(["single"], [1])
    kept = {"images": 4, "batch": 4, "seed": 0}
    for settings in (kept, kept | change):
        gallery = Gallery(Study("dit-fashion", **settings), Watched())
        list(rows(gallery, chosen, Results(path, KEY), NO_FORECAST))
    assert pyarrow.parquet.read_table(path).num_rows == 2


def test_a_prediction_of_something_else_takes_the_old_ones_place() -> None:
    """Latencies in a row are of one model on one GPU."""
    chosen, results = cases(["single"], [1]), Results(None, KEY)
    gallery = Gallery(Study("dit-fashion", images=2, batch=2), Watched())
    one = Forecast("dit-nano", "rtx-4090", 1, ("ethernet-1g", "pcie-4"))
    (before,) = rows(gallery, chosen, results, one)
    other = Forecast("dit-nano", "rtx-4090", 4, ("pcie-4",))
    (after,) = rows(gallery, chosen, results, other)
    assert after["predict_images"] == 4
    assert after["latency_s pcie-4"] > before["latency_s pcie-4"]
    assert "latency_s ethernet-1g" not in after


def test_a_fingerprint_changes_with_any_weight() -> None:
    """And with nothing else."""
    network = judge().classifier
    before = fingerprint(network)
    assert fingerprint(judge().classifier) == before
    network.choice.bias[3] += 1e-3
    assert fingerprint(network) != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "dit-nano"}, "dit-nano has random weights.*dit-fashion, dit-moe-tiny"),
        ({"model": "dit-fashion", "images": 0}, "images is 0, expected 1 or more"),
        ({"model": "dit-fashion", "batch": 0}, "batch is 0, expected 1 or more"),
    ],
)
def test_what_cannot_be_judged_is_refused(settings: dict[str, Any], message: str) -> None:
    """Before anything is made."""
    with pytest.raises(InputError, match=message):
        Study(**settings)


def test_a_schedule_that_cannot_run_is_refused_before_anything_is_made() -> None:
    """Neither the trained model nor the predicted one, by name."""
    watched = Watched()
    gallery = Gallery(Study("dit-fashion", ranks=3, images=2, batch=2), watched)
    with pytest.raises(InputError, match="3 ranks cannot split"):
        list(rows(gallery, cases(["ring"], [1]), Results(None, KEY), NO_FORECAST))
    unknown = Forecast("dit-nano", "rtx-4090", 1, ("ethernet-2g",))
    with pytest.raises(InputError, match="unknown network"):
        list(rows(gallery, cases(["single"], [1]), Results(None, KEY), unknown))
    assert watched.seen == []


def test_each_case_comes_once_after_the_single_devices() -> None:
    """Whatever it is called; steps come in the order in which they were asked for."""
    chosen = cases(["ring", "single", "ring"], [3, 1])
    assert [str(case) for case in chosen] == [
        "single, 3 steps",
        "ring, 3 steps",
        "single, 1 steps",
        "ring, 1 steps",
    ]
    assert chosen[1].schedule == RingAttention()
    with pytest.raises(InputError, match="name at least one schedule"):
        cases([], [1])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    """Every digit, gaps as gaps, and fingerprints that look like numbers as text."""
    path = tmp_path / f"rows{suffix}"
    row = {"weights": "012345678901", "x": 0.1 + 0.2, "notes": None, "gap": None}
    Results(path, ["weights"]).put(row)
    Results(path, ["weights"]).put(row | {"weights": "1e5", "gap": 3.0})
    kept = Results(path, ["weights"])
    assert kept.find({"weights": "012345678901"}) == row
    kept.put(row | {"notes": "late"})
    assert [known["notes"] for known in Results(path, ["weights"]).rows] == ["late", None]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """And is left alone."""
    other, damaged = tmp_path / "other.csv", tmp_path / "damaged.parquet"
    other.write_text("a,b\n1,2\n")
    damaged.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is no table of quality, for it has no column 'model'"):
        Results(other, KEY)
    with pytest.raises(InputError, match="no table that can be read"):
        Results(damaged, KEY)
    with pytest.raises(InputError, match=r"must end in \.csv or \.parquet"):
        Results(tmp_path / "rows.txt", KEY)
    with pytest.raises(InputError, match="does not exist"):
        Results(tmp_path / "nowhere" / "rows.csv", KEY)
    assert other.read_text() == "a,b\n1,2\n"
