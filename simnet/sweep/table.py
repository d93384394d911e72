"""Writes a sweep's points as Parquet, a row each, some rows at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simnet.sweep.design import Design
from simnet.sweep.results import EVALUATORS, Outcome, bandwidth_bps, latency_s
from simnet.sweep.store import IMPOSSIBLE

#: Rows that are held in memory before they are written together.
_GROUP_ROWS = 2**16

_TEXT = pa.dictionary(pa.int32(), pa.string())
_COLUMNS = {
    "point": pa.int64(),
    "model": _TEXT,
    "schedule": _TEXT,
    "codec": _TEXT,
    "warmup_steps": pa.int64(),
    "ranks": pa.int64(),
    "gpu": _TEXT,
    "batch": pa.int64(),
    "steps": pa.int64(),
    "dtype": _TEXT,
    "network": _TEXT,
    "bandwidth_bps": pa.float64(),
    "latency_s": pa.float64(),
    "jitter_s": pa.float64(),
    "seed": pa.int64(),
    "total_s": pa.float64(),
    "compute_s": pa.float64(),
    "exposed_s": pa.float64(),
    "wire_bytes": pa.int64(),
    "memory_bytes": pa.int64(),
    "fits": pa.bool_(),
    "evaluator": _TEXT,
    "reason": pa.string(),
    "evidence": _TEXT,
}
_SCHEMA = pa.schema(list(_COLUMNS.items()))


class PointsFile:
    """A Parquet file that grows by a case at a time."""

    def __init__(self, path: Path, design: Design) -> None:
        self.design = design
        self._writer = pq.ParquetWriter(path, _SCHEMA, compression="zstd")
        self._held: list[pa.Table] = []
        self._rows = 0

    def add(self, outcome: Outcome) -> None:
        """All points of a case."""
        for first in range(0, len(outcome.rows), _GROUP_ROWS):
            part = _table(self.design, outcome.part(slice(first, first + _GROUP_ROWS)))
            if self._rows + len(part) > _GROUP_ROWS:
                self._write()
            self._held.append(part)
            self._rows += len(part)

    def close(self) -> None:
        """Write what is held, and the end."""
        self._write()
        self._writer.close()

    def _write(self) -> None:
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held), _GROUP_ROWS)
        self._held, self._rows = [], 0


def _table(design: Design, outcome: Outcome) -> pa.Table:
    group, rows, facts = outcome.group, outcome.rows, outcome.facts
    count = len(rows)
    columns = dict(_axes(design, outcome))
    for name in ("total_s", "compute_s", "exposed_s"):
        columns[name] = pa.array(rows[name], mask=rows["evaluator"] == IMPOSSIBLE)
    for name in ("wire_bytes", "memory_bytes", "fits"):
        columns[name] = pa.repeat(pa.scalar(getattr(facts, name), _COLUMNS[name]), count)
    columns["point"] = pa.array(group.points)
    columns["evaluator"] = _texts(rows["evaluator"], EVALUATORS)
    columns["reason"] = _reasons(outcome)
    columns["evidence"] = _texts(np.zeros(count, np.int32), ("predicted",))
    return pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _reasons(outcome: Outcome) -> pa.Array:
    """Why there is no time; null where there is one."""
    number = outcome.rows["reason"]
    numbers = pa.array(number, mask=number < 0)
    texts = pa.array(outcome.reasons, pa.string())
    return pa.DictionaryArray.from_arrays(numbers, texts).cast(pa.string())


def _axes(design: Design, outcome: Outcome) -> Any:
    """A column for each axis; where a file says nothing, what follows from the rest."""
    group, case, count = outcome.group, outcome.group.case, len(outcome.rows)
    for axis, place in zip(design.sweep.case_axes, group.at, strict=True):
        value = axis.labels[place]
        if axis.column == "steps":
            value = case.steps
        if _COLUMNS[axis.column] == _TEXT:
            labels = ["none" if label is None else label for label in axis.labels]
            yield axis.column, _texts(np.full(count, place, np.int32), labels)
        else:
            yield axis.column, pa.repeat(pa.scalar(value, _COLUMNS[axis.column]), count)
    yield "network", _texts(group.network, design.sweep.axes["networks"].labels)
    rate_bps = bandwidth_bps(design, group)
    yield "bandwidth_bps", pa.array(rate_bps, mask=np.isnan(rate_bps))
    lag_s = latency_s(design, group)
    yield "latency_s", pa.array(lag_s, mask=np.isnan(lag_s))
    for name in ("jitter_s", "seed"):
        yield name, pa.array(group.settings[name])


def _texts(numbers: Any, labels: Any) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.asarray(numbers, np.int32), list(labels))
