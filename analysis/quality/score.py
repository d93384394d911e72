"""What a set of pictures is worth: beside real ones, and beside a single device's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.quality.frechet import Gaussian, distance, fewest, gaussian
from analysis.quality.similarity import psnr_db, ssim
from simnet.training.classifier import Judge
from traces.errors import InputError


class Estimate(NamedTuple):
    """A mean over pictures, and its standard error: None where one picture is all there is."""

    mean: float | None
    error: float | None


#: Where there is none.
GAP = Estimate(None, None)


@dataclass(frozen=True, kw_only=True)
class Score:
    """All measures; None where one has no value, which a note explains."""

    frechet_test: float | None = None  # to the real test set
    frechet_single: float | None = None  # to the single device's pictures
    accuracy: Estimate = GAP  # share in which the classifier sees what was asked for
    psnr_db: Estimate = GAP  # over the pictures that differ; none where all are equal
    identical: int | None = None  # pictures equal to the single device's, byte by byte
    ssim: Estimate = GAP
    notes: tuple[str, ...] = ()


def score(judge: Judge, made: Tensor, single: Tensor, asked: Tensor) -> Score:
    """Of pictures `made` (N, 28, 28), paired with a single device's from the same noise.

    `asked` (N,) is the class that each was to be. Raises InputError where numbers do not match.
    """
    if not len(made) == len(single) == len(asked) or not len(made):
        raise InputError(
            f"pictures to score: {len(made)} beside {len(single)} of a single device and "
            f"{len(asked)} classes, expected as many of each, and at least 1"
        )
    seen = judge.see(made)
    ratios, alike = psnr_db(made, single), ssim(made, single)
    differ = ratios[np.isfinite(ratios)]
    test = Gaussian(judge.mean.numpy(), judge.covariance.numpy())
    to_test, to_single = _distances(test, seen.features, judge.see(single).features)
    return Score(
        frechet_test=to_test,
        frechet_single=to_single,
        accuracy=_share(seen.classes == asked),
        psnr_db=_estimate(differ) if len(differ) else GAP,
        identical=len(ratios) - len(differ),
        ssim=_estimate(alike),
        notes=tuple(_notes(made, seen.features.shape[1])),
    )


def _distances(
    test: Gaussian, made: Tensor, single: Tensor
) -> tuple[float, float] | tuple[None, None]:
    if len(made) < fewest(made.shape[1]):
        return None, None
    mine = gaussian(made.numpy())
    return distance(mine, test), distance(mine, gaussian(single.numpy()))


def _notes(made: Tensor, features: int) -> list[str]:
    notes = []
    least = fewest(features)
    if len(made) < least:
        notes.append(f"no Fréchet distance: {len(made)} images, {least} or more are needed")
    flat = made.flatten(1)
    blank = int((flat == flat[:, :1]).all(dim=1).sum())
    if blank:
        notes.append(f"{blank} of {len(made)} images are of one colour")
    return notes


def _share(right: Tensor) -> Estimate:
    """Its standard error is the binomial's (Wald)."""
    share = right.to(torch.float64).mean().item()
    return Estimate(share, math.sqrt(share * (1 - share) / len(right)) if len(right) > 1 else None)


def _estimate(values: NDArray[np.float64]) -> Estimate:
    count = len(values)
    error = float(values.std(ddof=1) / math.sqrt(count)) if count > 1 else None
    return Estimate(float(values.mean()), error)
