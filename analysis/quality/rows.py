"""The rows of a study: measured once, kept, and found again when the same is asked anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from analysis.quality.closed_loop import Made, batch_count, batches, gather
from analysis.quality.forecast import Forecast
from analysis.quality.results import Results
from analysis.quality.score import Score, score
from analysis.quality.study import Case, Study
from simnet.schedules.single import Single
from traces.errors import InputError

#: Shows how far something is that takes a while: its name, its parts, and how many there are.
Watch = Callable[[str, Iterable[Any], int], Iterator[Any]]

_LATENCY = "latency_s "


class Gallery:
    """The pictures of a study's cases, each made when first looked at."""

    def __init__(self, study: Study, watch: Watch) -> None:
        self.study = study
        self.watch = watch
        self.made: dict[Case, Made] = {}

    def all(self, case: Case) -> Made:
        """As many as the study judges by."""
        if case not in self.made:
            self.made[case] = self._make(case, self.study.images)
        return self.made[case]

    def first(self, case: Case, images: int) -> Tensor:
        """So many (n, 28, 28), of those or made anew."""
        if case in self.made and images <= self.study.images:
            return self.made[case].pictures[:images]
        return self._make(case, images).pictures

    def _make(self, case: Case, images: int) -> Made:
        job = self.study.job(case)
        count = batch_count(case.schedule, job, images)
        return gather(
            self.watch(str(case), batches(case.schedule, job, images), count), job, images
        )


def rows(
    gallery: Gallery, chosen: Sequence[Case], results: Results, forecast: Forecast
) -> Iterator[dict[str, Any]]:
    """A row for each case, kept in `results` once it is measured; what they hold is not redone.

    Raises InputError, before anything is made, where a schedule cannot run the model.
    """
    study = gallery.study
    for case in chosen:
        case.schedule.check(study.job(case))
        forecast.check(case.schedule, study.ranks_of(case.schedule))
    for case in chosen:
        known = results.find(study.key(case))
        if known is None:
            known = measured(gallery, case)
            results.put(known)
        row = predicted(known | {"schedule": case.name}, forecast, study, case, gallery.watch)
        if row != known:
            results.put(row)
        yield row


def measured(gallery: Gallery, case: Case) -> dict[str, Any]:
    """A row's key, and what its pictures are worth."""
    study = gallery.study
    single = gallery.all(Case(Single.name, Single(), case.steps))
    made = gallery.all(case)
    if single.broken:
        raise InputError(
            f"{study.model}: {single.broken} of {study.images} images of a single device are not "
            "finite; are these its trained weights?"
        )
    if made.broken:
        judged = Score(notes=(f"no measure: {made.broken} of {study.images} are not finite",))
    else:
        judged = score(study.judge, made.pictures, single.pictures, study.asked)
    sent = {"wire_bytes_per_image": made.wire_bytes}
    return {"schedule": case.name} | study.key(case) | _flat(judged) | sent


def predicted(
    row: dict[str, Any], forecast: Forecast, study: Study, case: Case, watch: Watch
) -> dict[str, Any]:
    """The row with what a forecast adds to it; what it has of the same is kept."""
    ranks = study.ranks_of(case.schedule)
    on = {
        "predict_model": forecast.model,
        "gpu": forecast.gpu,
        "predict_images": forecast.made(case.schedule, ranks),
    }
    if any(row.get(name) != value for name, value in on.items()):
        row = {name: value for name, value in row.items() if not name.startswith(_LATENCY)}
    absent = tuple(name for name in forecast.networks if row.get(_LATENCY + name) is None)
    latencies = forecast.latencies_s(case.schedule, ranks, case.steps, absent)
    found = {
        _LATENCY + name: seconds
        for name, seconds in watch(f"predicting {case}", latencies, len(absent))
    }
    return row | on | found


def latency_s(row: dict[str, Any], network: str) -> float:
    """What a row says of a network."""
    seconds: float = row[_LATENCY + network]
    return seconds


def _flat(judged: Score) -> dict[str, Any]:
    """A column for each number; gaps are None."""
    return {
        "frechet_test": judged.frechet_test,
        "frechet_single": judged.frechet_single,
        "accuracy": judged.accuracy.mean,
        "accuracy_error": judged.accuracy.error,
        "psnr_db": judged.psnr_db.mean,
        "psnr_error_db": judged.psnr_db.error,
        "ssim": judged.ssim.mean,
        "ssim_error": judged.ssim.error,
        "identical": judged.identical,
        "notes": "; ".join(judged.notes) or None,
    }
