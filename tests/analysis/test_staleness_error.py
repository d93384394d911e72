"""Errors by age: activations whose error at every age is known, and a plain reference."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.staleness_error import error_by_age
from traces.errors import InputError
from traces.trace import Trace

Value = Callable[[int, int, int], NDArray[np.float32] | None]
Record = Callable[..., Trace]


def kept(record: Record, value: Value, *, steps: int = 6) -> Trace:
    """A trace of two ranks and layers that kept `value(rank, step, layer)`, where it is some."""

    def keep(rank: int, step: int) -> dict[str, NDArray[np.float32]]:
        values = {layer: value(rank, step, layer) for layer in range(2)}
        return {f"hidden/{layer}": array for layer, array in values.items() if array is not None}

    return record(keep, ranks=2, steps=steps)


def drawn(rank: int, step: int, layer: int) -> NDArray[np.float32]:
    """Numbers of its own for each: (2 images, 3 tokens, 5 channels)."""
    generator = np.random.default_rng([rank, step, layer])
    return generator.normal(size=(2, 3, 5)).astype(np.float32)


def test_a_turning_activation_is_off_by_the_chord(record: Record) -> None:
    """x_t turns by an angle a step: at age a the cosine is cos(a angle), the error 2 sin(./2)."""
    angle = 0.2

    def turning(rank: int, step: int, layer: int) -> NDArray[np.float32]:
        at = angle * step * (layer + 1) + rank
        token = [np.cos(at), np.sin(at)]
        return np.tile(np.asarray(token, np.float32), (1, 4, 1))

    found = error_by_age(kept(record, turning), "hidden", ages=3)
    assert found["relative_l2"].dims == ("layer", "step", "age")
    for layer in range(2):
        for age in (1, 2, 3):
            for name in ("relative_l2", "token_relative_l2"):
                errors = found[name].sel(layer=layer, age=age)
                chord = 2 * np.sin(angle * age * (layer + 1) / 2)
                np.testing.assert_allclose(errors[age:], chord, rtol=1e-5)
                assert np.isnan(errors[:age]).all()
            for name in ("cosine", "token_cosine"):
                cosines = found[name].sel(layer=layer, age=age)[age:]
                np.testing.assert_allclose(cosines, np.cos(angle * age * (layer + 1)), rtol=1e-5)
    chord = 2 * np.sin(angle / 2)
    np.testing.assert_allclose(found["token_map"].sel(layer=0, age=1), chord, rtol=1e-5)
    assert found.attrs["gaps"] == ""


def test_it_is_what_a_plain_loop_computes(record: Record) -> None:
    """Of all ranks' tokens together, and token by token."""
    found = error_by_age(kept(record, drawn), "hidden", ages=2)
    for layer in range(2):
        for age in (1, 2):
            per_step = []
            for step in range(age, 6):
                now, old = (
                    np.stack([drawn(rank, s, layer).astype(float) for rank in range(2)])
                    for s in (step, step - age)
                )
                at = found.sel(layer=layer, step=step, age=age)
                off = np.linalg.norm(now - old) / np.linalg.norm(now)
                assert at["relative_l2"].item() == pytest.approx(off, rel=1e-6)
                angle = (now * old).sum() / np.linalg.norm(now) / np.linalg.norm(old)
                assert at["cosine"].item() == pytest.approx(angle, abs=1e-6)
                each = np.linalg.norm(now - old, axis=-1) / np.linalg.norm(now, axis=-1)
                assert at["token_relative_l2"].item() == pytest.approx(each.mean(), rel=1e-6)
                norms = np.linalg.norm(now, axis=-1) * np.linalg.norm(old, axis=-1)
                mean = ((now * old).sum(-1) / norms).mean()
                assert at["token_cosine"].item() == pytest.approx(mean, abs=1e-6)
                per_step.append(each.mean(axis=1))
            expected = np.mean(per_step, axis=0)
            np.testing.assert_allclose(
                found["token_map"].sel(layer=layer, age=age), expected, rtol=1e-6
            )


def test_what_is_missing_is_a_gap_with_its_reason(record: Record) -> None:
    """A step that one rank did not keep is neither fresh nor old; nor are zeros to divide by."""

    def holes(rank: int, step: int, layer: int) -> NDArray[np.float32] | None:
        if (rank, step, layer) == (1, 2, 0):
            return None
        return drawn(rank, step, layer) * (0 if (step, layer) == (4, 1) else 1)

    found = error_by_age(kept(record, holes), "hidden", ages=1)
    first, second = found["relative_l2"].sel(age=1).to_numpy()
    np.testing.assert_array_equal(np.isnan(first), [True, False, True, True, False, False])
    np.testing.assert_array_equal(np.isnan(second), [True, False, False, False, True, False])
    assert second[5] == pytest.approx(1.0)
    assert "layer 0, step 2: not kept by rank 1" in found.attrs["gaps"]
    assert "layer 1, step 4: all zero" in found.attrs["gaps"]


def test_a_layer_that_only_one_rank_has_counts_for_it_alone(record: Record) -> None:
    """As where layers are spread over ranks: no rank misses another's."""

    def spread(rank: int, step: int, layer: int) -> NDArray[np.float32] | None:
        return drawn(rank, step, layer) if rank == layer else None

    found = error_by_age(kept(record, spread), "hidden", ages=1)
    assert np.isfinite(found["relative_l2"].sel(age=1)[:, 1:]).all()
    assert np.isnan(found["token_map"].sel(layer=0, rank=1)).all()
    assert found.attrs["gaps"] == ""


def test_ages_that_there_cannot_be_are_refused_or_left_out(record: Record) -> None:
    """One step has nothing older; three steps have ages of 1 and 2."""
    short = kept(record, drawn, steps=3)
    assert error_by_age(short, "hidden", ages=9)["age"].to_numpy().tolist() == [1, 2]
    with pytest.raises(InputError, match="ages is 0, expected 1 or more"):
        error_by_age(short, "hidden", ages=0)
    with pytest.raises(InputError, match="one step only"):
        error_by_age(kept(record, drawn, steps=1), "hidden")


def test_a_few_steps_are_in_memory_at_a_time(record: Record) -> None:
    """Forty steps of half a megabyte need no more than a few of them."""

    def large(rank: int, step: int, layer: int) -> NDArray[np.float32] | None:
        return np.full((512, 256), step + 1, np.float32) if rank == layer == 0 else None

    trace = kept(record, large, steps=40)
    tracemalloc.start()
    try:
        found = error_by_age(trace, "hidden", ages=2)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * 512 * 1024
    assert found["relative_l2"].sel(layer=0, step=39, age=2) == pytest.approx(2 / 40)
