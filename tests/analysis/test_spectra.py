"""Spectra: planted ranks, numpy's singular values, noise, and what has none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.spectra import spectra
from traces.errors import InputError
from traces.trace import Trace

Array = NDArray[np.float32]
Record = Callable[..., Trace]


def drawn(*place: int, shape: tuple[int, ...] = (1, 40, 24)) -> Array:
    """Independent Gaussian numbers, others for each place."""
    return np.random.default_rng(place).standard_normal(shape, np.float32)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_a_planted_rank_is_found(rank: int, record: Record) -> None:
    """As many equal singular values: both effective ranks, and the energy, say so."""
    left, right = (np.linalg.qr(drawn(7, side, shape=(side, rank)))[0] for side in (40, 24))
    planted = (left @ right.T)[None]
    trace = record(lambda _, step: {"hidden/0": planted * np.float32(1 + step**2)})
    found = spectra(trace, "hidden").isel(layer=0)
    assert np.allclose(found["entropy_rank"][0], rank, rtol=1e-3)
    assert np.allclose(found["stable_rank"][0], rank, rtol=1e-3)
    assert np.allclose(found["energy"][:, 2, rank - 1], 1)
    assert np.allclose(found["singular_value"][1, 3, :rank], 1 / np.sqrt(rank), rtol=1e-3)
    assert np.allclose(found["singular_value"][..., rank:].fillna(0), 0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 40, 24), (1, 12, 24)])
def test_it_is_what_numpy_finds(shape: tuple[int, int, int], record: Record) -> None:
    """Of activations, residuals and their residuals, with both ranks' tokens below each other."""
    trace = record(lambda rank, step: {"hidden/2": drawn(rank, step, shape=shape)}, ranks=2)
    found = spectra(trace, "hidden").sel(layer=2)
    x = [np.concatenate([drawn(r, s, shape=shape)[0] for r in (0, 1)]) for s in range(6)]
    for order, matrix in enumerate([x[4], x[4] - x[3], x[4] - 2 * x[3] + x[2]]):
        values = np.linalg.svd(matrix, compute_uv=False)
        values /= np.linalg.norm(matrix)
        assert np.allclose(found["singular_value"][order, 4], values, atol=1e-5)
        assert np.allclose(found["energy"][order, 4], (values**2).cumsum(), atol=1e-5)
        share = values / values.sum()
        entropy = -(share * np.log(share)).sum()
        assert found["entropy_rank"][order, 4] == pytest.approx(np.exp(entropy), rel=1e-5)
        assert found["stable_rank"][order, 4] == pytest.approx(values[0] ** -2, rel=1e-5)
    assert found.attrs["gaps"] == ""


def test_noise_is_as_its_reference(record: Record) -> None:
    """Independent Gaussian numbers, and so their differences, have the reference's spectrum."""
    trace = record(lambda rank, step: {"hidden/0": drawn(rank, step, shape=(1, 200, 100))})
    found = spectra(trace, "hidden")
    for key in ("entropy_rank", "stable_rank"):
        values = found[key].to_numpy()
        assert np.allclose(values[np.isfinite(values)], found[f"gaussian_{key}"], rtol=0.1)
    assert np.allclose(found["energy"][0], found["gaussian_energy"], atol=0.02)


def test_what_does_not_change_has_no_residual_spectrum(record: Record) -> None:
    """It is NaN, not zero, and the gaps say why."""
    found = spectra(record(lambda *_: {"hidden/0": drawn(0)}, steps=3), "hidden")
    assert found["energy"].sel(order="activation").notnull().all()
    assert found["energy"].sel(order="residual").isnull().all()
    assert "layer 0, step 1 to 2: residual is zero" in found.attrs["gaps"]


def test_one_step_has_activations_only(record: Record) -> None:
    """And a missing or broken step has nothing at all."""
    found = spectra(record(lambda *_: {"hidden/0": drawn(0)}, steps=1), "hidden")
    assert found["stable_rank"].notnull().to_numpy()[:, 0, 0].tolist() == [True, False, False]

    def broken(rank: int, step: int) -> dict[str, Array]:
        return {} if step == 2 else {"hidden/0": drawn(rank, step) / np.float32(step != 4)}

    with np.errstate(divide="ignore"):
        found = spectra(record(broken), "hidden")
    there = found["stable_rank"].notnull()[:, 0].to_numpy()
    assert there[0].tolist() == [True, True, False, True, False, True]
    assert there[1].tolist() == [False, True, False, False, False, False]
    assert "layer 0, step 2: not kept" in found.attrs["gaps"]
    assert "layer 0, step 4: activation not kept, or not finite" in found.attrs["gaps"]


def test_a_layer_of_nothing_finite_is_a_gap_and_a_tensor_of_it_is_refused(record: Record) -> None:
    """What overflowed has no directions."""

    def keep(_: int, step: int) -> dict[str, Array]:
        return {"hidden/0": drawn(step), "hidden/1": drawn(step) * np.float32(np.nan)}

    found = spectra(record(keep), "hidden")
    assert np.isfinite(found["entropy_rank"].sel(layer=0, order="activation")).all()
    assert np.isnan(found["entropy_rank"].sel(layer=1)).all()
    assert "layer 1, step 0 to 5: not kept, or not finite" in found.attrs["gaps"]
    with pytest.raises(InputError, match="none of its kept numbers is finite"):
        spectra(record(lambda rank, step: {"hidden/1": keep(rank, step)["hidden/1"]}), "hidden")
