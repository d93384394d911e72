"""Errors by score: planted outputs that change by a known part, and a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.staleness_scores import error_by_score
from traces.errors import InputError
from traces.trace import Trace

Record = Callable[..., Trace]
Array = NDArray[np.float32]
Kept = Mapping[str, Array]
TOKENS, EXPERTS, WIDTH, STEPS = 24, 8, 5, 4


def drawn(rank: int, step: int) -> dict[str, Array]:
    """Scores, choices and outputs that are new in every step, but for a third of the choices."""
    generator = np.random.default_rng([rank, step])
    scores = generator.dirichlet(np.ones(EXPERTS), TOKENS)
    if step:
        scores[: TOKENS // 3] = drawn(rank, step - 1)["scores/0"][: TOKENS // 3]
    return {
        "scores/0": scores.astype(np.float32),
        "chosen/0": np.argsort(-scores, axis=1)[:, :2].astype(np.float32),
        "outputs/0": generator.normal(size=(TOKENS, 2, WIDTH)).astype(np.float32),
        "age/0": np.zeros(2, np.float32),
    }


def test_errors_are_what_a_plain_loop_puts_into_bins(record: Record) -> None:
    """Slot by slot; the old output is the same expert's, whichever slot it was."""
    found = error_by_score(record(drawn, ranks=2, steps=STEPS), age=1, bins=4)
    bins: dict[tuple[int, int], list[tuple[float, float]]] = {}
    unmatched = 0
    for rank in range(2):
        for step in range(1, STEPS):
            now, old = drawn(rank, step), drawn(rank, step - 1)
            for token in range(TOKENS):
                experts, before = (kept["chosen/0"][token].astype(int) for kept in (now, old))
                scores = now["scores/0"][token].astype(float)
                out = now["outputs/0"][token].astype(float)
                total = sum(scores[expert] * out[slot] for slot, expert in enumerate(experts))
                for slot, expert in enumerate(experts):
                    if expert not in before:
                        unmatched += 1
                        continue
                    theirs = old["outputs/0"][token][list(before).index(expert)].astype(float)
                    off = float(np.linalg.norm(out[slot] - theirs))
                    relative = off / float(np.linalg.norm(out[slot]))
                    weighed = float(scores[expert] * off / np.linalg.norm(total))
                    place = slot, int(scores[expert] * 4)
                    bins.setdefault(place, []).append((relative, weighed))
    assert found["count"].sum() == sum(map(len, bins.values()))
    assert found["unmatched"].sum() == unmatched
    for (slot, bin_), errors in bins.items():
        at = found.sel(layer=0, slot=slot).isel(score=bin_)
        assert at["count"] == len(errors)
        means = np.mean(errors, axis=0).tolist()
        assert at["relative_l2"].item() == pytest.approx(means[0], rel=1e-5)
        assert at["weighed"].item() == pytest.approx(means[1], rel=1e-5)
    empty = found["count"].to_numpy() == 0
    assert np.isnan(found["relative_l2"].to_numpy()[empty]).all()


def test_what_a_slot_does_to_the_sum_is_in_proportion_to_its_score(record: Record) -> None:
    """Two experts of equal outputs that change by a tenth: .1 s in the bin of score s."""

    def steady(rank: int, step: int) -> Kept:
        del rank
        scores = np.zeros((TOKENS, EXPERTS), np.float32)
        scores[:, :2] = [0.75, 0.25]
        out = np.full((TOKENS, 2, WIDTH), 1.1**step, np.float32)
        chosen = np.tile([0, 1], (TOKENS, 1)).astype(np.float32)
        ages = np.zeros(2, np.float32)
        return {"scores/0": scores, "chosen/0": chosen, "outputs/0": out, "age/0": ages}

    found = error_by_score(record(steady, steps=2), bins=5).sel(layer=0)
    best, other = found["weighed"].to_numpy()
    assert best[3] == pytest.approx(0.75 * (1 - 1 / 1.1), rel=1e-5)
    assert other[1] == pytest.approx(0.25 * (1 - 1 / 1.1), rel=1e-5)
    assert np.nansum(found["count"]) == 2 * TOKENS
    assert found["score"].to_numpy() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


def test_outputs_that_were_old_already_are_left_out(record: Record) -> None:
    """What they were compared with was no fresh one; where none was fresh, that is said."""

    def late(rank: int, step: int) -> Kept:
        return drawn(rank, step) | {"age/0": np.full(2, min(step // 2, 1), np.float32)}

    found = error_by_score(record(late, steps=STEPS))
    assert (found["count"] + found["unmatched"]).sum() == 2 * TOKENS
    assert "step 2 to 3: of rank 0 nothing was kept, or outputs were old" in found.attrs["gaps"]

    def never(rank: int, step: int) -> Kept:
        return drawn(rank, step) | {"age/0": np.ones(2, np.float32)}

    with pytest.raises(InputError, match="no fresh outputs of experts 1 steps apart"):
        error_by_score(record(never))


@pytest.mark.parametrize(
    ("age", "bins", "message"), [(0, 10, "age is 0"), (6, 10, "age is 6"), (1, 0, "bins is 0")]
)
def test_what_there_cannot_be_is_refused(record: Record, age: int, bins: int, message: str) -> None:
    """Ages of nothing or longer than the run, and no bins."""
    with pytest.raises(InputError, match=message):
        error_by_score(record(drawn), age, bins)


def test_a_trace_without_outputs_is_refused(record: Record) -> None:
    """With all that is to be kept."""

    def no_outputs(rank: int, step: int) -> Kept:
        return {key: value for key, value in drawn(rank, step).items() if "outputs" not in key}

    with pytest.raises(InputError, match="no outputs were kept; record with --keep outputs,"):
        error_by_score(record(no_outputs))
