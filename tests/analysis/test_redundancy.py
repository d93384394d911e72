"""Similarity of steps: known correlations, a plain reference, and gaps that say why."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.redundancy import redundancy
from traces.errors import InputError
from traces.trace import Trace

Array = NDArray[np.float32]
Record = Callable[..., Trace]


def drawn(*place: int, shape: tuple[int, ...] = (2, 6, 5)) -> Array:
    """Independent Gaussian numbers, others for each place."""
    return np.random.default_rng(place).standard_normal(shape, np.float32)


def noise(rank: int, step: int) -> dict[str, Array]:
    """Two layers of them."""
    return {f"hidden/{layer}": drawn(rank, step, layer) for layer in (0, 1)}


def repeated(rank: int, step: int) -> dict[str, Array]:
    """The same in every step."""
    del step
    return {"hidden/0": drawn(rank)}


@pytest.mark.parametrize("rho", [0.5, 0.9, 0.99])
def test_an_autoregressive_activation_has_its_correlation_to_the_lag(
    rho: float, record: Record
) -> None:
    """x' = rho x + noise of the same variance: cosine rho^lag, relative L2 sqrt(2 - 2 rho^lag)."""
    x = [drawn(7, shape=(64, 400))]
    for step in range(1, 8):
        x.append(rho * x[-1] + math.sqrt(1 - rho**2) * drawn(7, step, shape=(64, 400)))
    found = redundancy(record(lambda _, step: {"hidden/0": x[step]}, steps=8), "hidden")
    expected = rho ** np.arange(1, 8)
    assert np.allclose(found["cosine_lag_mean"], expected, atol=0.02)
    assert np.allclose(found["relative_l2_lag_mean"], np.sqrt(2 - 2 * expected), atol=0.02)
    assert np.allclose(found["residual_ratio"][0, 1:], math.sqrt(2 - 2 * rho), atol=0.02)


def test_it_is_what_a_plain_reference_finds(record: Record) -> None:
    """Whole vectors of both ranks, two at a time; whatever the size of the blocks."""
    trace = record(noise, ranks=2)
    found = redundancy(trace, "hidden", block_bytes=600)
    for layer in (0, 1):
        x = [np.append(*(drawn(r, step, layer) for r in (0, 1))).astype(float) for step in range(6)]
        norm = np.linalg.norm
        for a in range(6):
            assert found["activation_norm"][layer, a] == pytest.approx(norm(x[a]))
            for b in range(6):
                cosine = x[a] @ x[b] / norm(x[a]) / norm(x[b])
                assert found["cosine"][layer, a, b] == pytest.approx(cosine, abs=1e-6)
                off = norm(x[a] - x[b]) / norm(x[a])
                assert found["relative_l2"][layer, a, b] == pytest.approx(off, rel=1e-5)
        for t in range(2, 6):
            second = norm(x[t] - 2 * x[t - 1] + x[t - 2])
            assert found["second_residual_norm"][layer, t] == pytest.approx(second)
            ratio = second / norm(x[t])
            assert found["second_residual_ratio"][layer, t] == pytest.approx(ratio)
        lag_2 = np.mean([norm(x[t] - x[t - 2]) / norm(x[t]) for t in range(2, 6)])
        assert found["relative_l2_by_lag"][layer, 1] == pytest.approx(lag_2)
    by_lag = found["cosine_by_lag"].to_numpy()
    assert np.allclose(found["cosine_lag_mean"], by_lag.mean(axis=0))
    assert np.allclose(found["cosine_lag_spread"], by_lag.std(axis=0))
    assert found.attrs["gaps"] == ""


def test_steps_that_are_equal_are_at_cosine_1_and_distance_0(record: Record) -> None:
    """Exactly; a residual of zero is a zero, and no gap."""
    found = redundancy(record(repeated), "hidden")
    assert (found["cosine"] == 1).all()
    assert (found["relative_l2"] == 0).all()
    assert (found["residual_ratio"][:, 1:] == 0).all()
    assert found.attrs["gaps"] == ""


def test_a_step_of_zeros_has_no_direction(record: Record) -> None:
    """Its cosine is NaN, and the gaps say so; its norm is 0."""
    found = redundancy(
        record(lambda _, step: {"hidden/0": drawn(step) * np.float32(step != 2)}), "hidden"
    )
    assert np.isnan(found["cosine"][0, 2]).all()
    assert np.isnan(found["relative_l2"][0, 2]).all()
    assert found["relative_l2"][0, 3, 2] == pytest.approx(1)
    assert found["activation_norm"][0, 2] == 0
    assert found["cosine"][0, 1, 3].notnull()
    assert found.attrs["gaps"] == "layer 0, step 2: all zero, so it has no direction"


def lost(rank: int, step: int) -> Mapping[str, Array]:
    """Rank 1 lacks step 3, and nobody has step 5; there is a NaN in step 1 of rank 0."""
    if (rank, step) == (1, 3) or step == 5:
        return {}
    kept = noise(rank, step)
    if (rank, step) == (0, 1):
        kept["hidden/1"][0, 2, 3] = np.nan
    return kept


def test_what_is_missing_is_a_gap_with_its_reason(record: Record) -> None:
    """Where a rank lacks a step, where nobody has it, and where a number is NaN."""
    found = redundancy(record(lost, ranks=2), "hidden")
    assert found.sizes["step"] == 6
    whole = found["cosine"].sel(step=2).notnull()
    assert whole.sel(layer=0).to_numpy().tolist() == [True, True, True, False, True, False]
    assert whole.sel(layer=1).to_numpy().tolist() == [True, False, True, False, True, False]
    residuals = found["residual_norm"].sel(layer=0)
    assert residuals.isnull().to_numpy().nonzero()[0].tolist() == [0, 3, 4, 5]
    assert found["second_residual_norm"].sel(layer=1).notnull().sum() == 0
    gaps = found.attrs["gaps"].split("; ")
    assert "layer 0 to 1, step 5: not kept" in gaps
    assert "layer 0 to 1, step 3: not kept by rank 1" in gaps
    assert "layer 1, step 1: NaN or infinity on rank 0" in gaps


def test_a_rank_without_a_part_is_a_gap(record: Record) -> None:
    """What is there is analysed, and the gaps say that it is not all."""
    whole = record(noise, ranks=2)
    assert whole.folder is not None
    shutil.rmtree(whole.folder / "rank-1")
    found = redundancy(Trace.open(whole.folder), "hidden")
    assert found["cosine"].notnull().all()
    assert found.attrs["gaps"] == "rank 1: no part was recorded"
    assert found.attrs["kept_by_ranks"] == [0]


def test_layers_of_other_ranks_are_no_gaps(record: Record) -> None:
    """In a pipeline each rank keeps its own layers."""
    pipeline = record(lambda rank, step: {f"hidden/{rank}": drawn(rank, step)}, ranks=2)
    found = redundancy(pipeline, "hidden")
    assert found["cosine"].notnull().all()
    assert found.attrs["gaps"] == ""


def test_choices_of_experts_are_compared_as_one_hot_vectors(record: Record) -> None:
    """Two of four tokens keep one of their two experts: of 8 ones, 6 are in the same place."""
    first = np.array([[0, 1], [1, 2], [2, 3], [3, 0]], np.float32)
    then = np.array([[1, 0], [1, 3], [2, 3], [3, 1]], np.float32)
    chosen = record(lambda _, step: {"chosen/0": (first, then)[step]}, steps=2)
    found = redundancy(chosen, "chosen")
    assert found["cosine"][0, 1, 0] == pytest.approx(6 / 8)
    assert found["relative_l2"][0, 1, 0] == pytest.approx(math.sqrt(4 / 8))


def test_keys_and_values_are_told_apart(record: Record) -> None:
    """Of "kv", k is the first half, and v here never changes."""
    values = drawn(9, shape=(1, 2, 4, 3))
    packed = record(lambda _, step: {"kv/0": np.stack([drawn(step, shape=values.shape), values])})
    assert (redundancy(packed, "v")["cosine"] == 1).all()
    assert (redundancy(packed, "k")["cosine_lag_mean"] < 0.9).all()


def test_what_cannot_be_compared_is_refused(record: Record) -> None:
    """One step, and names of nothing."""
    with pytest.raises(InputError, match="one step only"):
        redundancy(record(noise, steps=1), "hidden")
    with pytest.raises(InputError, match="did you mean 'hidden'"):
        redundancy(record(noise), "hiden")
    with pytest.raises(InputError, match="--keep"):
        redundancy(record(lambda *_: {}), "hidden")
