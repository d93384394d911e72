"""Agreement of choices: routing planted to agree so much, and a plain reference by sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.routing_agreement import MEASURES, agreement
from simnet.schedules.expert.placement import Placement
from traces.errors import InputError
from traces.trace import Trace

Record = Callable[..., Trace]
Kept = Mapping[str, NDArray[np.float32]]
EXPERTS, TOKENS = 8, 32


def drawn(rank: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Experts (N, 2) and scores (N, 8), new ones for a part of the tokens in each step."""
    generator = np.random.default_rng([rank, step])
    scores = generator.dirichlet(np.ones(EXPERTS), TOKENS)
    if step:
        scores[: TOKENS // 2] = drawn(rank, step - 1)[1][: TOKENS // 2]
    return np.argsort(-scores, axis=1)[:, :2], scores


def keep(rank: int, step: int) -> Kept:
    """As a run keeps them."""
    chosen, scores = drawn(rank, step)
    return {"chosen/0": chosen.astype(np.float32), "scores/0": scores.astype(np.float32)}


def by_sets(lag: int, step: int, owner: list[int]) -> dict[str, float]:
    """Token by token, over both ranks."""
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for rank in range(2):
        now, before = drawn(rank, step), drawn(rank, step - lag)
        for token in range(TOKENS):
            one, other = ([int(e) for e in chosen[token]] for chosen, _ in (now, before))
            shared = set(one) & set(other)
            values["top_1"].append(one[0] == other[0])
            values["top_k"].append(len(shared) / 2)
            values["jaccard"].append(len(shared) / len(set(one) | set(other)))
            w, w_old = (
                {e: s[token][e] / sum(s[token][i] for i in es) for e in es}
                for es, (_, s) in ((one, now), (other, before))
            )
            values["weighted"].append(sum(min(w[e], w_old[e]) for e in shared))
            ranks, ranks_old = ([owner[e] for e in es] for es in (one, other))
            same = sum(min(ranks.count(r), ranks_old.count(r)) for r in set(ranks))
            values["destination"].append(same / 2)
    return {name: float(np.mean(of)) for name, of in values.items()}


@pytest.mark.parametrize("placement", ["strided", "blocked"])
def test_agreement_is_what_sets_say_token_by_token(record: Record, placement: str) -> None:
    """All five measures, at two lags, with experts on ranks either way."""
    found = agreement(record(keep, ranks=2, steps=4), 2, Placement(placement))
    owner = [e % 2 for e in range(8)] if placement == "strided" else [e // 4 for e in range(8)]
    for lag in (1, 2):
        for step in range(lag, 4):
            expected = by_sets(lag, step, owner)
            at = found.sel(layer=0, step=step, lag=lag)
            for name, value in expected.items():
                assert at[name].item() == pytest.approx(value, rel=1e-5), name
        assert np.isnan(found["top_1"].sel(lag=lag)[:, :lag]).all()
    assert found.attrs["gaps"] == ""


def test_planted_agreement_is_found(record: Record) -> None:
    """A quarter of the tokens go elsewhere in each step, and never to where they were."""

    def planted(rank: int, step: int) -> Kept:
        moved = np.arange(TOKENS) < TOKENS // 4
        best = np.where(moved, step, 0) + np.zeros(TOKENS)
        chosen = np.stack([best % 4, np.full(TOKENS, 4 + rank)], axis=1)
        return {"chosen/0": chosen.astype(np.float32)}

    found = agreement(record(planted, ranks=2, steps=4, model="dit-moe-nano"), lags=3)
    for lag in (1, 2, 3):
        at = found.sel(layer=0, step=3, lag=lag)
        assert at["top_1"].item() == pytest.approx(0.75)
        assert at["top_k"].item() == pytest.approx(0.875)
        assert at["jaccard"].item() == pytest.approx(0.75 + 0.25 / 3)
    assert np.isnan(found["weighted"]).all()
    assert "weighted: no scores were kept" in found.attrs["gaps"]


def test_a_lost_step_leaves_gaps_at_both_ends(record: Record) -> None:
    """Nothing agrees with a step that was not kept, nor does it agree with anything."""

    def holes(rank: int, step: int) -> Kept:
        return {} if (rank, step) == (0, 2) else keep(rank, step)

    found = agreement(record(holes, ranks=2, steps=5), lags=1)
    top_1 = found["top_1"].sel(layer=0, lag=1).to_numpy()
    np.testing.assert_array_equal(np.isfinite(top_1), [False, True, False, False, True])
    assert "layer 0, step 2: no choices kept by rank 0" in found.attrs["gaps"]


def test_ranks_that_cannot_share_experts_have_no_destinations(record: Record) -> None:
    """The other measures hold; why this one does not is said."""
    found = agreement(record(keep, ranks=3, steps=3), lags=1)
    assert np.isnan(found["destination"]).all()
    assert np.isfinite(found["top_1"].sel(lag=1)[:, 1:]).all()
    assert "destination: 8 experts, which 3 ranks cannot share" in found.attrs["gaps"]


def test_one_step_and_no_lag_are_refused(record: Record) -> None:
    """There is nothing to agree with."""
    with pytest.raises(InputError, match="one step has nothing"):
        agreement(record(keep, steps=1))
    with pytest.raises(InputError, match="lags is 0"):
        agreement(record(keep), lags=0)
