"""Loads of experts: planted choices, counted again one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.routing import loads
from traces.errors import InputError
from traces.trace import Trace

Record = Callable[..., Trace]
EXPERTS, IMAGES, TOKENS = 8, 4, 16  # dit-moe-nano has 16 tokens


def chosen(rank: int, step: int, layer: int) -> NDArray[np.float32]:
    """Two experts that differ, for each of the images' tokens; low ones more often."""
    generator = np.random.default_rng([rank, step, layer])
    draws = [generator.permutation(EXPERTS) for _ in range(IMAGES * TOKENS)]
    return np.minimum(np.array(draws)[:, :2], [[5, 7]]).astype(np.float32)


def everything(rank: int, step: int) -> Mapping[str, NDArray[np.float32]]:
    """Choices of two layers, and classes: two images for nothing, and one each."""
    label = np.array([10, 10, rank, 3], np.float32)
    return {f"chosen/{layer}": chosen(rank, step, layer) for layer in range(2)} | {
        "label/-1": label,
        "scores/0": np.full((IMAGES * TOKENS, EXPERTS), 1 / EXPERTS, np.float32),
    }


def test_loads_are_what_counting_one_by_one_gives(record: Record) -> None:
    """By step and rank, by the token's place in its image, and by the image's class."""
    found = loads(record(everything, ranks=2, steps=3, model="dit-moe-nano"))
    load: Counter[tuple[int, ...]] = Counter()
    by_token: Counter[tuple[int, ...]] = Counter()
    by_class: Counter[tuple[int, ...]] = Counter()
    for layer, step, rank in np.ndindex(2, 3, 2):
        classes = everything(rank, step)["label/-1"]
        for row, slots in enumerate(chosen(rank, step, layer).astype(int)):
            image, token = divmod(row, TOKENS)
            for expert in slots:
                load[layer, step, rank, expert] += 1
                by_token[layer, token, expert] += 1
                by_class[layer, int(classes[image]), expert] += 1
    for place, count in np.ndenumerate(found["load"].to_numpy()):
        assert count == load[place]
    for place, count in np.ndenumerate(found["load_by_token"].to_numpy()):
        assert count == by_token[place]
    classes_drawn = found["class"].to_numpy()
    for (layer, number, expert), count in np.ndenumerate(found["load_by_class"].to_numpy()):
        assert count == by_class[layer, int(classes_drawn[number]), expert]
    assert classes_drawn.tolist() == [0, 1, 3, 10]
    assert found.attrs["no_class"] == 10
    assert found.attrs["gaps"] == ""
    assert found["load"].sum() == 2 * 3 * 2 * IMAGES * TOKENS * 2


def test_a_step_that_was_not_kept_is_no_load_of_zero(record: Record) -> None:
    """But none at all, and said to be missing."""

    def holes(rank: int, step: int) -> Mapping[str, NDArray[np.float32]]:
        lost = (rank, step) == (1, 1)
        return {} if lost else {"chosen/0": chosen(rank, step, 0)}

    found = loads(record(holes, ranks=2, steps=3, model="dit-moe-nano"))
    missing = np.isnan(found["load"].to_numpy())
    assert missing[0, 1, 1].all()
    assert missing.sum() == EXPERTS
    assert found.attrs["gaps"] == "layer 0, step 1: no choices kept by rank 1"
    assert "load_by_class" not in found


def test_a_trace_without_choices_is_refused(record: Record) -> None:
    """With what to do about it."""

    def hidden(rank: int, step: int) -> Mapping[str, NDArray[np.float32]]:
        return {"hidden/0": np.full((1, 2, 3), rank + step, np.float32)}

    with pytest.raises(InputError, match="no choices of experts were kept; record with --keep"):
        loads(record(hidden))
