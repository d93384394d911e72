"""How well the model fits the measurements, and in words where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from simnet.calibration.calibration import HALF_DUPLEX, Estimate, Goodness, Numbers
from simnet.calibration.case import BETWEEN_TWO
from simnet.calibration.cells import Cell
from simnet.calibration.collectives import Prediction
from simnet.calibration.efficiency import BURSTS, BYTES_DECIDE
from traces.units import format_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: One row for each cell; `low_s` and `high_s` are quartiles of the repetitions that nothing
#: delayed, `delayed` the part of the others; `predicted_low_s` and `predicted_high_s` bound the
#: prediction with 95 % confidence.
COLUMNS = (
    *("kind", "ranks", "bytes", "messages", "measured_s", "low_s", "high_s", "delayed"),
    *("predicted_s", "predicted_low_s", "predicted_high_s", "bytes_s"),
)

_BARELY = 0.02
_OFF = 0.10
_UNLIKE = 1.1
_RESTLESS = 0.25  # between the quartiles, of the time; and of the repetitions, delayed
_FULL, _HALF = 1.15, 2.2  # duplex factors that are still those
_EXPLAINS = 0.8  # R² below it is little; a burst alone, which the model lacks, takes 0.1 off


def beside(
    cells: Sequence[Cell],
    predictions: Sequence[Prediction],
    draws_s: NDArray[np.float64],
) -> pd.DataFrame:
    """What was measured and what the model says: COLUMNS. `draws_s` is (draws, cells)."""
    low_s, high_s = np.percentile(draws_s, (2.5, 97.5), axis=0)
    rows = [
        (
            *(cell.kind, cell.group, cell.nbytes, cell.messages),
            *(cell.time_s, *cell.quartiles_s, cell.delayed),
            *(prediction.total_s, low, high, prediction.bytes_s),
        )
        for cell, prediction, low, high in zip(cells, predictions, low_s, high_s, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def goodness(cells: pd.DataFrame, burst_bytes: float) -> tuple[Goodness, ...]:
    """A line for each kind."""
    large = _is_large(cells, burst_bytes)
    return tuple(
        _goodness(str(kind), rows, large[rows.index])
        for kind, rows in cells.groupby("kind", sort=False)
    )


def r_squared(cells: pd.DataFrame) -> float:
    """Of the logarithms of the times of messages: 1 where the model says all of them."""
    messages = cells[cells["kind"].isin(BETWEEN_TWO)]
    measured, predicted = np.log(messages["measured_s"]), np.log(messages["predicted_s"])
    spread = float(((measured - measured.mean()) ** 2).sum())
    return 1 - float(((measured - predicted) ** 2).sum()) / spread if spread else 1.0


def notes(
    cells: pd.DataFrame,
    numbers: Numbers,
    efficiency: Mapping[str, Estimate],
    pairs: Sequence[Cell],
    *,
    ranks: int,
) -> tuple[str, ...]:
    """A sentence for each thing that one link for each rank does not say. `pairs` are pings."""
    burst_bytes = numbers.burst_bytes.value
    return (
        *_unexplained(r_squared(cells)),
        *_duplex(numbers.duplex, ranks),
        *_unlike(pairs),
        *_bucket(cells, burst_bytes),
        *_uneven(cells, burst_bytes),
        *_above_one(efficiency),
        *_restless(cells),
    )


def _goodness(kind: str, rows: pd.DataFrame, large: pd.Series[bool]) -> Goodness:
    error = (rows["measured_s"] / rows["predicted_s"] - 1).abs()
    some = bool(large.any())
    return Goodness(
        kind,
        len(rows),
        int(large.sum()),
        float(error[large].median()) if some else None,
        float(error[large].quantile(0.9)) if some else None,
        float(error[~large].median()) if not large.all() else None,
    )


def _is_large(cells: pd.DataFrame, burst_bytes: float) -> pd.Series[bool]:
    """As efficiency.is_large, of a table."""
    nbytes = cells["bytes"] * cells["messages"]
    decided = cells["bytes_s"] >= BYTES_DECIDE * cells["predicted_s"]
    return decided & (nbytes >= BURSTS * burst_bytes)


def _unexplained(r_squared: float) -> Iterator[str]:
    if r_squared < _EXPLAINS:
        yield (
            f"R² of messages is only {r_squared:.2f}: these terms say little of what was "
            "measured; measure again when the hosts have nothing else to do, without --quick"
        )


def _duplex(duplex: Estimate, ranks: int) -> Iterator[str]:
    if duplex.low < HALF_DUPLEX < duplex.high:
        yield (
            f"duplex factor {duplex.value:.2f} ({duplex.low:.2f} to {duplex.high:.2f}): whether "
            "links are full or half duplex is not sure; measure again, or set it by hand"
        )
    if _FULL < duplex.value <= HALF_DUPLEX:
        yield (
            f"with as many bytes the other way a byte takes {duplex.value:.2f} times as long: "
            "neither full nor half duplex; the file says full, and is too fast for that"
        )
    if duplex.value > _HALF:
        yield (
            f"with as many bytes the other way a byte takes {duplex.value:.2f} times as long, and "
            "half duplex explains 2: hosts, rather than links, may be busy (on one machine all "
            "ranks share its cores); the file says half duplex at most, and is too fast for that"
        )
    if duplex.value > HALF_DUPLEX and ranks > 2:
        yield (
            f"links are half duplex (factor {duplex.value:.2f}), which a file with [links] cannot "
            f'say of {ranks} ranks; write it with [[link]] and duplex = "half"'
        )


def _unlike(pairs: Sequence[Cell]) -> Iterator[str]:
    by_time = sorted(pairs, key=lambda cell: cell.time_s)
    if len(by_time) > 1 and by_time[-1].time_s > _UNLIKE * by_time[0].time_s:
        first, last = by_time[0], by_time[-1]
        yield (
            f"links differ: {format_bytes(last.nbytes)} take "
            f"{last.time_s / first.time_s:.2f} times as long between ranks {last.group} as "
            f"between {first.group}; the file has the rate between {pairs[0].group}, and "
            "[[link]] can say more"
        )


def _bucket(cells: pd.DataFrame, burst_bytes: float) -> Iterator[str]:
    if not burst_bytes:
        return
    pings = cells[(cells["kind"] == "ping") & (cells["bytes"] <= BURSTS * burst_bytes)]
    times = (pings["predicted_s"] / pings["measured_s"]).max()
    yield (
        f"after a moment of rest about {format_bytes(burst_bytes)} pass at once, as through a "
        f"token bucket: messages below {format_bytes(BURSTS * burst_bytes)} are up to {times:.1f} "
        "times faster than on a busy link; the network file has that as burst_bytes"
    )


def _uneven(cells: pd.DataFrame, burst_bytes: float) -> Iterator[str]:
    large = cells[_is_large(cells, burst_bytes) & ~cells["kind"].isin(BETWEEN_TWO)]
    for kind, rows in large.groupby("kind", sort=False):
        ratio = (rows["measured_s"] / rows["predicted_s"]).to_numpy()
        if ratio.max() > (1 + _OFF) / (1 - _OFF) * ratio.min():
            sizes = rows["bytes"].to_numpy()
            at = [format_bytes(sizes[place]) for place in (ratio.argmin(), ratio.argmax())]
            yield (
                f"{kind}: one efficiency does not fit all sizes: measured over predicted is "
                f"{ratio.min():.2f} at {at[0]} and {ratio.max():.2f} at {at[1]}"
            )


def _above_one(efficiency: Mapping[str, Estimate]) -> Iterator[str]:
    fast = {kind: part.value for kind, part in efficiency.items() if part.value > 1 + _BARELY}
    if fast:
        listed = ", ".join(f"{kind} {value:.2f}" for kind, value in fast.items())
        yield f"faster than the links allow, so taken as 1: {listed}"


def _restless(cells: pd.DataFrame) -> Iterator[str]:
    wide = (cells["high_s"] - cells["low_s"]) > _RESTLESS * cells["measured_s"]
    restless = wide | (cells["delayed"] > _RESTLESS)
    if restless.mean() > _RESTLESS:
        yield (
            f"restless: in {restless.sum()} of {len(cells)} cells repetitions differ much (more "
            f"than {_RESTLESS:.0%} of them were delayed, or the middle half of the others spreads "
            f"over more than {_RESTLESS:.0%} of their time); other work on these hosts makes the "
            "terms of small messages uncertain"
        )
