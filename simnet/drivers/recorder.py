"""Writes a run to disk while it goes on: a step's rows and activations as soon as it is done."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simnet.drivers.observer import Observer
from traces.operation import Operation
from traces.store import PartWriter


class Recorder(Observer):
    """Records these ranks' parts of a trace, and the activations whose names are in `keep`."""

    def __init__(self, path: Path, ranks: Iterable[int], keep: Collection[str] = ()) -> None:
        self.parts = {rank: PartWriter(path, rank) for rank in ranks}
        self.wanted = frozenset(keep)
        self.kept: dict[int, dict[str, Any]] = defaultdict(dict)
        self.open: dict[int, list[Operation]] = defaultdict(list)  # transfers under way

    def keep(self, rank: int, step: int, layer: int, name: str, value: Any) -> None:
        """Remember an activation that is wanted until its step is done."""
        del step
        if name in self.wanted:
            # A copy: the schedule may go on to change the tensor in place.
            self.kept[rank][f"{name}/{layer}"] = value.detach().clone()

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """Write a rank's step."""
        unwritten = self._write_ends(rank)
        # Copies: another thread may stamp a transfer's end while this one writes its row.
        rows = [replace(op) for op in operations]
        self.parts[rank].step_done(step, rows, self.kept.pop(rank, {}))
        self.open[rank] = unwritten + [
            op for op, row in zip(operations, rows, strict=True) if math.isnan(row.end_s)
        ]

    def close(self) -> None:
        """Turn the parts into tables."""
        for rank, part in self.parts.items():
            self._write_ends(rank)
            part.close()

    def _write_ends(self, rank: int) -> list[Operation]:
        still_open = []
        for op in self.open[rank]:
            if math.isnan(op.end_s):
                still_open.append(op)
            else:
                self.parts[rank].end(op.seq, op.end_s)
        return still_open
