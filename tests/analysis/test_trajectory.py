"""Paths over the steps: planted ones, a plain reference, and traces that do not fit together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.plane import COMPONENTS
from analysis.trajectory import trajectories, trajectory
from traces.errors import InputError
from traces.trace import Trace

Array = NDArray[np.float32]
Record = Callable[..., Trace]


def drawn(*place: int, shape: tuple[int, ...] = (2, 6, 5)) -> Array:
    """Independent Gaussian numbers, others for each place."""
    return np.random.default_rng(place).standard_normal(shape, np.float32)


def noise(rank: int, step: int) -> dict[str, Array]:
    """Of each step by itself."""
    return {"hidden/0": drawn(rank, step)}


def test_a_circle_is_a_circle_again(record: Record) -> None:
    """Planted in a plane of many dimensions: two components, which have all of the variance."""
    plane = np.linalg.qr(drawn(5, shape=(60, 2)))[0]
    angles = 2 * np.pi * np.arange(8) / 8

    def turning(rank: int, step: int) -> dict[str, Array]:
        at = 3 * plane @ [np.cos(angles[step]), np.sin(angles[step])] + 7
        return {"hidden/0": at.astype(np.float32).reshape(2, 6, 5) + rank}

    found = trajectory(record(turning, steps=8), "hidden").isel(trace=0, layer=0)
    radius = np.linalg.norm(found["score"][:, :2], axis=1)
    assert np.allclose(radius, 3, rtol=1e-3)
    assert np.allclose(found["explained_variance"][:2], 0.5, atol=1e-3)
    assert np.allclose(found["off_plane"], 0, atol=0.02)


def test_it_is_what_a_plain_reference_finds(record: Record) -> None:
    """The SVD of the first trace's centred steps, and the second's along its axes."""
    first, second = record(noise), record(lambda _, step: {"hidden/0": drawn(9, step)}, steps=4)
    found = trajectories({"one": first, "two": second}, "hidden", block_bytes=300).isel(layer=0)
    x, y = (
        np.stack([drawn(seed, step).ravel() for step in range(steps)]).astype(float)
        for seed, steps in ((0, 6), (9, 4))
    )
    mean = x.mean(axis=0)
    _, values, axes = np.linalg.svd(x - mean, full_matrices=False)
    axes = axes[:COMPONENTS]
    for label, points in (("one", x), ("two", y)):
        expected = (points - mean) @ axes.T
        scores = found["score"].sel(trace=label).to_numpy()[: len(points)]
        sign = np.sign((scores * expected).sum(axis=0))
        assert np.allclose(scores, expected * sign, atol=1e-4)
        off = np.linalg.norm(points - mean - expected @ axes, axis=1)
        assert np.allclose(found["off_plane"].sel(trace=label)[: len(points)], off, atol=1e-3)
    share = values[:COMPONENTS] ** 2 / (values**2).sum()
    assert np.allclose(found["explained_variance"], share, rtol=1e-4)
    deviation = np.linalg.norm(y - x[:4], axis=1) / np.linalg.norm(x[:4], axis=1)
    assert np.allclose(found["relative_deviation"].sel(trace="two")[:4], deviation, rtol=1e-4)
    assert found["relative_deviation"].sel(trace="two")[4:].isnull().all()
    assert (found["relative_deviation"].sel(trace="one") == 0).all()


def test_ranks_that_split_the_tokens_are_on_the_path_of_one(record: Record) -> None:
    """The same activation on one rank and on three, exactly."""
    alone = record(noise)
    split = record(
        lambda rank, step: {"hidden/0": drawn(0, step)[:, 2 * rank : 2 * rank + 2]}, ranks=3
    )
    found = trajectories({"alone": alone, "split": split}, "hidden")
    assert (found["relative_deviation"] == 0).all()
    assert np.allclose(found["score"][0], found["score"][1], atol=1e-4)


def test_a_small_deviation_is_not_lost(record: Record) -> None:
    """Of 1e-5, beside steps that are as far apart as they are long."""
    near = record(lambda _, step: {"hidden/0": drawn(0, step) * np.float32(1 + 1e-5)})
    found = trajectories({"one": record(noise), "near": near}, "hidden")
    assert np.allclose(found["relative_deviation"].sel(trace="near"), 1e-5, rtol=0.05)


def test_what_is_missing_is_a_gap(record: Record) -> None:
    """A lost step, and a broken one; the others keep their places."""

    def broken(rank: int, step: int) -> dict[str, Array]:
        x = drawn(rank, step)
        if step == 2:
            x[0, 0, 0] = np.inf
        return {} if step == 4 else {"hidden/0": x}

    found = trajectory(record(broken), "hidden").isel(trace=0, layer=0)
    assert found["off_plane"].isnull().to_numpy().nonzero()[0].tolist() == [2, 4]
    assert "step 2: toy: NaN or infinity" in found.attrs["gaps"]
    assert "step 4: toy: not kept" in found.attrs["gaps"]


def test_what_does_not_move_has_no_path(record: Record) -> None:
    """Its components are NaN, not zero, and the gaps say so."""
    found = trajectory(record(lambda *_: {"hidden/0": drawn(0)}), "hidden")
    assert found["score"].isnull().all()
    assert found["explained_variance"].isnull().all()
    assert "so few directions that 3 components lack" in found.attrs["gaps"]


def test_traces_that_do_not_fit_together_are_refused(record: Record) -> None:
    """Other layers, another shape, a rank that lacks, and what is no matrix."""
    first = record(noise)
    others = {
        "layers": record(lambda _, step: {"hidden/1": drawn(step)}),
        "shape": record(lambda _, step: {"hidden/0": drawn(step, shape=(2, 6, 4))}),
        "rank": record(lambda rank, step: {"hidden/0": drawn(rank, step)[:, :3]}),
    }
    for label, other in others.items():
        with pytest.raises(InputError, match=f"^{label}: "):
            trajectories({"first": first, label: other}, "hidden")
    with pytest.raises(InputError, match="no path"):
        trajectory(record(lambda *_: {"chosen/0": np.zeros((4, 2), np.float32)}), "chosen")
