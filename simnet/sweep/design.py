"""The points of a sweep, case by case: the whole grid, or a sample drawn from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from simnet.models.presets import preset
from simnet.sweep.axes import Sweep
from simnet.sweep.case import Case
from simnet.sweep.content import digest
from simnet.sweep.reading import has_warmup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simnet.network.topology import Topology

#: On what network a point is: the network by half of its digest, and what is set otherwise.
SETTING = np.dtype(
    [
        *(("network_high", "<u8"), ("network_low", "<u8"), ("bandwidth_bps", "<f8")),
        *(("latency_s", "<f8"), ("jitter_s", "<f8"), ("seed", "<i8")),
    ]
)
#: Points of a sample that are drawn at a time; a power of 2, as Sobol's sequence likes it.
_DRAWN = 2**14

Indices = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Group:
    """The points of one case, M of them. `at` has its place on each of the axes of cases."""

    case: Case
    at: Indices
    points: NDArray[np.int64]  # (M,), numbers in the sweep
    network: NDArray[np.int64]  # (M,), places in the list of networks
    settings: NDArray[Any]  # (M,) of SETTING


class Design:
    """All points of a sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.shape = tuple(map(len, sweep.case_axes))
        self.networks: list[Topology] = [each.topology for each in sweep.axes["networks"]]
        halves = [digest(network) for network in self.networks]
        self._high = np.array([int(text[:16], 16) for text in halves], np.uint64)
        self._low = np.array([int(text[16:32], 16) for text in halves], np.uint64)
        self._random = np.array(
            [bool(net.conditions and net.conditions.random) for net in self.networks]
        )

    def __len__(self) -> int:
        return self.sweep.points

    def network(self, setting: Any) -> Topology:
        """The one that a setting names."""
        return self.by_digest[int(setting["network_high"]), int(setting["network_low"])]

    @cached_property
    def by_digest(self) -> dict[tuple[int, int], Topology]:
        """Networks as settings name them."""
        halves = zip(self._high.tolist(), self._low.tolist(), strict=True)
        return dict(zip(halves, self.networks, strict=True))

    def groups(self) -> Iterator[Group]:
        """Case after case, in the order of the axes; within one the order of the points."""
        return self._grid() if self.sweep.drawn is None else self._sample()

    def _grid(self) -> Iterator[Group]:
        """Networks and their settings are innermost, so that a case's points are consecutive."""
        axes = self.sweep.network_axes
        mesh = np.indices(tuple(map(len, axes))).reshape(len(axes), -1)
        values = [np.asarray(axis.values) for axis in axes[1:]]
        numbers = [each[index] for each, index in zip(values, mesh[1:], strict=True)]
        settings = self._settings(mesh[0], numbers)
        for place, at in enumerate(np.ndindex(self.shape)):
            points = place * len(settings) + np.arange(len(settings))
            yield Group(self.case(at), at, points, mesh[0], settings)

    def _sample(self) -> Iterator[Group]:
        cases, network, settings = self._drawn()
        order = np.argsort(cases, kind="stable")
        first = np.flatnonzero(np.diff(cases[order], prepend=-1))
        for points in np.split(order, first[1:]):
            at = tuple(map(int, np.unravel_index(cases[points[0]], self.shape)))
            yield Group(self.case(at), at, points, network[points], settings[points])

    def _drawn(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        """Case, network and setting of each point; the first of a larger sample are the same."""
        cases, networks, settings = [], [], []
        columns = [*self.sweep.case_axes, *self.sweep.network_axes]
        split = len(self.shape)
        for shares in _shares(self.sweep, len(columns)):
            at = [(len(axis) * shares[:, n]).astype(np.int64) for n, axis in enumerate(columns)]
            cases.append(np.ravel_multi_index(tuple(at[:split]), self.shape))
            numbers = []
            for n, axis in enumerate(columns[split + 1 :], start=split + 1):
                chosen = np.asarray(axis.values)[at[n]]
                numbers.append(chosen if axis.span is None else axis.span.at(shares[:, n]))
            networks.append(at[split])
            settings.append(self._settings(at[split], numbers))
        return np.concatenate(cases), np.concatenate(networks), np.concatenate(settings)

    def _settings(self, network: NDArray[np.int64], numbers: list[NDArray[Any]]) -> NDArray[Any]:
        """Of SETTING. Where nothing is random the seed makes no difference and is 0."""
        made = np.empty(len(network), SETTING)
        made["network_high"], made["network_low"] = self._high[network], self._low[network]
        bandwidth_bps, latency_s, jitter_s, seed = numbers
        made["bandwidth_bps"], made["latency_s"] = bandwidth_bps, latency_s
        made["jitter_s"] = jitter_s
        made["seed"] = np.where((jitter_s > 0) | self._random[network], seed, 0)
        return made

    def case(self, at: Indices) -> Case:
        """The case at a place on each of the axes of cases."""
        axes = self.sweep.case_axes
        value = {axis.key: axis.values[place] for axis, place in zip(axes, at, strict=True)}
        text = chosen(value["schedules"], value["codecs"], value["warmups"])
        steps = preset(value["models"]).steps if value["steps"] is None else value["steps"]
        return Case(
            value["models"],
            text,
            value["ranks"],
            steps,
            value["dtypes"],
            value["batches"],
            value["gpus"],
        )


def chosen(text: str, codec: str | None, warmup_steps: int | None) -> str:
    """A schedule by name, with a codec and, where it has one, a warm-up."""
    if warmup_steps is not None and has_warmup(text):
        text = f"{text}:warmup_steps={warmup_steps}"
    return text if codec is None else f"{text}/{codec}"


def _shares(sweep: Sweep, width: int) -> Iterator[NDArray[np.float64]]:
    """Numbers in [0, 1), a row for each point and `width` columns, some rows at a time.

    Random ones are numpy's PCG64; Sobol's are scrambled (Owen 1998, "Scrambling Sobol' and
    Niederreiter-Xing points") as scipy does it.
    """
    assert sweep.drawn is not None
    if sweep.sample == "random":
        generator = np.random.default_rng(sweep.seed)
        for first in range(0, sweep.drawn, _DRAWN):
            yield generator.random((min(_DRAWN, sweep.drawn - first), width))
        return
    from scipy.stats.qmc import Sobol

    sequence = Sobol(width, rng=sweep.seed)
    for first in range(0, sweep.drawn, _DRAWN):
        # Its last numbers may round up to 1, which is no place in a list.
        yield np.minimum(sequence.random(_DRAWN)[: sweep.drawn - first], math.nextafter(1, 0))
