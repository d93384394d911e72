"""How long a call takes on a device: warmed up, many times over, in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from statistics import median, quantiles
from time import perf_counter, thread_time
from typing import Any

import torch

from simnet.drivers.hardware import synchronize
from simnet.profiles import Cost
from simnet.profiling.calls import Wanted
from simnet.profiling.samples import Samples

#: Seconds since some moment.
Clock = Callable[[], float]

#: A call that takes long is timed no more often than this, once it has been timed for so long.
_LEAST, _ENOUGH_S = 3, 2.0
_WARM_UP = 2  # the first use of a shape may compile a kernel, or choose one


def measured(wanted: Sequence[Wanted], device: str, repeats: int) -> Iterator[Cost]:
    """The cost of each call, in turn; only its own tensors and weights are on the device then.

    Calls of one kind of block should stand together, for its weights are made once for all of
    them. `repeats` is how often each is timed, less often where it takes long.
    """
    samples = Samples(device)
    for each in wanted:
        with torch.inference_mode():
            times_s = _times(samples(each), repeats, clock(device))
        yield cost(each, times_s)


def clock(device: str) -> Clock:
    """What times are read from: the wall clock, or of one thread of a processor its own time.

    That leaves out what other processes take of the processor, which a device of one's own has not.
    """
    alone = not device.startswith("cuda") and torch.get_num_threads() == 1
    return thread_time if alone else perf_counter


def cost(wanted: Wanted, times_s: Sequence[float]) -> Cost:
    """Median, spread between the quartiles, and minimum of some times."""
    lower_s, _, upper_s = quantiles(times_s, method="inclusive")
    return Cost(
        name=wanted.name,
        shape=wanted.shape,
        median_s=_rounded(median(times_s)),
        spread_s=_rounded(upper_s - lower_s),
        minimum_s=_rounded(min(times_s)),
        count=len(times_s),
        kind=wanted.kind,
    )


def _rounded(time_s: float) -> float:
    """To four digits, of which the last is noise."""
    return float(f"{time_s:.4g}")


def _times(calls: Sequence[Callable[[], Any]], repeats: int, now_s: Clock) -> list[float]:
    for call in islice(cycle(calls), _WARM_UP):
        call()
    times_s: list[float] = []
    for call in islice(cycle(calls), repeats):
        if len(times_s) >= _LEAST and sum(times_s) > _ENOUGH_S:
            break
        times_s.append(_time_s(call, now_s))
    return times_s


def _time_s(call: Callable[[], Any], now_s: Clock) -> float:
    """As the local driver measures it."""
    synchronize()
    start_s = now_s()
    call()
    synchronize()
    return now_s() - start_s
