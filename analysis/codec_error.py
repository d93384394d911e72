"""How far receivers are off after many steps, with and without error feedback, on Gaussian noise.

Naive is the codec on the activation itself; the other two code its change from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from simnet.codecs.base import Codec
from simnet.codecs.named import codec
from simnet.codecs.recursion import State
from simnet.codecs.residual import Residual
from traces.errors import InputError

#: How a codec is applied, worst first in the long run.
WAYS = ("without feedback", "naive", "with feedback")
COLUMNS = ("codec", "way", "step", "predicted", "simulated", "one_shot_nmse", "residual_ratio")

#: Enough numbers for an error to be within .5 % of its expectation.
_SHAPE = (256, 384)


def table(codecs: Sequence[str], steps: int, residual_ratio: float) -> pd.DataFrame:
    """The receiver's error after each step, as COLUMNS: steps 1 to steps - 1, for step 0 is raw.

    `codecs` are residuals of order 1 as they come, such as "residual-1bit". `residual_ratio` is
    the deviation of an activation's change over that of the activation, an AR(1) process that
    keeps its variance. `predicted` and `simulated` are root mean squares over the activation's
    deviation: the closed form of the codec's error on noise in one shot, and the codec itself,
    run with sender and receiver on seeded numbers. Raises InputError for a codec that is no such
    residual, for less than 2 steps, and for a ratio outside 0 to 1.
    """
    if steps < 2:
        raise InputError(f"error of codecs: {steps} steps, expected 2 or more; the first is raw")
    if not 0 < residual_ratio <= 1:
        raise InputError(
            f"error of codecs: a residual of {residual_ratio:g} times the activation, expected "
            "more than 0, and 1 at most"
        )
    chosen = {name: _plain(name) for name in codecs}
    if not chosen:
        raise InputError("error of codecs: name at least one, such as residual-1bit")
    rows = [
        row for name, kind in chosen.items() for row in _rows(name, kind, steps, residual_ratio)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def predicted(way: str, one_shot_nmse: float, residual_ratio: float, step: int) -> float:
    """The closed form, for an error that is independent of what comes next.

    With d the codec's error in one shot: d of the activation's variance; without feedback d of
    the residual's more in each step; with feedback e' = d (1 + e) of the residual's, which ends at
    d / (1 - d).
    """
    shares = {
        "naive": one_shot_nmse / residual_ratio**2,
        "without feedback": step * one_shot_nmse,
        "with feedback": sum(one_shot_nmse**power for power in range(1, step + 1)),
    }
    return residual_ratio * math.sqrt(shares[way])


def _plain(name: str) -> Codec:
    """The codec of which this is the residual, with nothing else set."""
    chosen = codec(name)
    if chosen != Residual(chosen.codec):
        raise InputError(
            f"error of codecs: {name!r} is no plain residual of order 1, such as residual-1bit; "
            "the same codec without feedback, and without residuals, is drawn beside it"
        )
    return chosen.codec


def _rows(name: str, kind: Codec, steps: int, ratio: float) -> Iterator[tuple[object, ...]]:
    nmse = _one_shot_nmse(kind)
    applied = {
        "naive": Residual(kind, order=0, error_feedback=False),
        "without feedback": Residual(kind, error_feedback=False),
        "with feedback": Residual(kind),
    }
    for way in WAYS:
        for step, error in enumerate(_errors(applied[way], _activations(steps, ratio))):
            if step:
                yield name, way, step, predicted(way, nmse, ratio, step), error, nmse, ratio


def _errors(applied: Residual, activations: Iterator[Tensor]) -> Iterator[float]:
    """Root mean squares of what a receiver has less what there was, step by step."""
    sender: State = ()
    receiver: State = ()
    for step, x in enumerate(activations):
        coder = applied.at(step)
        payload, sender = coder.encode(sender, x)
        held, receiver = coder.decode(receiver, payload, x)
        yield float((held - x).square().mean().sqrt())


def _activations(steps: int, ratio: float) -> Iterator[Tensor]:
    """Of variance 1, whose changes have that of ratio^2: x' = a x + noise, a = 1 - ratio^2 / 2."""
    generator = torch.Generator().manual_seed(0)
    kept = 1 - ratio**2 / 2
    x = torch.randn(_SHAPE, generator=generator)
    for _ in range(steps):
        yield x
        x = kept * x + math.sqrt(1 - kept**2) * torch.randn(_SHAPE, generator=generator)


def _one_shot_nmse(kind: Codec) -> float:
    """Energy of the error over that of noise, other numbers than the activations'."""
    x = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(1))
    error = kind.decode(kind.encode(x), x.shape, x.dtype) - x
    return float(error.square().sum() / x.square().sum())
