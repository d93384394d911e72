"""A case measured and predicted: how long, how much of it exposed, and operation by operation."""

from __future__ import annotations

from typing import NamedTuple

from traces.join import join
from traces.summary import summarize
from traces.trace import Trace


class Judged(NamedTuple):
    """Seconds of the whole run; `op_finish_error` is the median, in parts of the measured run."""

    measured_s: float
    predicted_s: float
    measured_exposed_s: float
    predicted_exposed_s: float
    op_finish_error: float

    @property
    def error(self) -> float:
        """Of the prediction, relative to the run; above 0 where it took less than predicted."""
        return self.predicted_s / self.measured_s - 1


def judged(measured: Trace, predicted: Trace) -> Judged:
    """Raises TraceError where they are not of the same program."""
    run, prediction = summarize(measured), summarize(predicted)
    rows = join(measured, predicted)
    apart_s = (rows["end_s_left"] - rows["end_s_right"]).abs()
    return Judged(
        run.total_s,
        prediction.total_s,
        run.exposed_s,
        prediction.exposed_s,
        float(apart_s.median() / run.total_s),
    )
