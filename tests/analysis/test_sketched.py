"""Similarity of steps from sketches: near enough to the whole tensors', and said to be so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.redundancy import redundancy
from analysis.sketched import comparable, sketched
from figures import lags, residuals, similarity
from simnet.cli import OK, call
from simnet.drivers.local import run_local
from simnet.job import Job
from simnet.schedules.named import schedule
from traces.capture.activations import Sketched
from traces.errors import InputError
from traces.trace import Trace

Array = NDArray[np.float32]
Keep = Callable[[int, int], Mapping[str, Array]]
Record = Callable[..., Trace]
pytestmark = pytest.mark.usefixtures("one_thread")

WITHIN = "sketched, within ±5 %"


def drawn(*place: int, shape: tuple[int, ...] = (2, 40, 50)) -> Array:
    """Independent Gaussian numbers, others for each place."""
    return np.random.default_rng(place).standard_normal(shape, np.float32)


def moving(rank: int, step: int) -> dict[str, Array]:
    """Two layers of two tensors that turn from one direction to another."""
    share = np.float32(step / 10)
    return {
        f"{name}/{layer}": (1 - share) * drawn(rank, layer, 0) + share * drawn(rank, layer, 1)
        for name in ("hidden", "k")
        for layer in (0, 1)
    }


@pytest.fixture
def both(record: Record) -> Callable[..., tuple[Trace, Trace]]:
    """A trace with whole tensors, and one with sketches of them."""

    def make(keep: Keep, **run: int) -> tuple[Trace, Trace]:
        whole, none = record(keep, **run), record(lambda *_: {}, **run)
        assert none.folder is not None
        for rank in range(run.get("ranks", 1)):
            sink = Sketched(("k",), error=0.05).sink(none.folder / f"rank-{rank}", rank)
            for step in range(run.get("steps", 6)):
                for key, x in keep(rank, step).items():
                    name, _, layer = key.partition("/")
                    sink.take(name, int(layer), torch.from_numpy(x))
                sink.step_done(step)
            sink.close()
            assert sink.error is None
        return whole, Trace.open(none.folder)

    return make


def test_it_is_what_whole_tensors_give_within_the_bound(
    both: Callable[..., tuple[Trace, Trace]],
) -> None:
    """Of two ranks together; with the same dims, coordinates, units and gaps."""
    whole, reduced = (redundancy(trace, "k") for trace in both(moving, ranks=2))
    assert reduced.sizes == whole.sizes
    assert reduced.attrs["gaps"] == whole.attrs["gaps"] == ""
    np.testing.assert_allclose(reduced["activation_norm"], whole["activation_norm"], rtol=1e-6)
    for key in ("cosine", "cosine_by_lag", "cosine_lag_mean"):
        np.testing.assert_allclose(reduced[key], whole[key], atol=0.05)
    for key in ("relative_l2", "residual_ratio", "relative_l2_by_lag"):
        np.testing.assert_allclose(reduced[key], whole[key], rtol=0.08, atol=1e-9)
    assert reduced["residual_norm"].attrs == whole["residual_norm"].attrs


def test_results_say_that_they_are_estimates(both: Callable[..., tuple[Trace, Trace]]) -> None:
    """With how good; whole tensors are measured."""
    whole, reduced = both(moving)
    about = redundancy(reduced, "k").attrs
    assert about["evidence"] == WITHIN
    assert about["summary"].endswith(f"({WITHIN})")
    assert (about["error"], about["tensor"], about["model"]) == (0.05, "k", "toy")
    assert "error" not in redundancy(whole, "k").attrs
    assert redundancy(whole, "k").attrs["evidence"] == "measured"


def lost(rank: int, step: int) -> Mapping[str, Array]:
    """Rank 1 lacks step 3, and nobody has step 5; there is a NaN in step 1 of rank 0."""
    if (rank, step) == (1, 3) or step == 5:
        return {}
    kept = moving(rank, step)
    if (rank, step) == (0, 1):
        kept["k/1"][0, 2, 3] = np.nan
    return kept


def test_what_is_missing_is_the_same_gap(both: Callable[..., tuple[Trace, Trace]]) -> None:
    """In the same places, in the same words."""
    whole, reduced = (redundancy(trace, "k") for trace in both(lost, ranks=2))
    assert reduced.attrs["gaps"] == whole.attrs["gaps"] != ""
    for key in whole.data_vars:
        assert (reduced[key].isnull() == whole[key].isnull()).all(), key


def test_a_step_of_zeros_has_no_direction(both: Callable[..., tuple[Trace, Trace]]) -> None:
    """As for whole tensors; its distance from others is their norm."""

    def keep(_: int, step: int) -> dict[str, Array]:
        return {"k/0": drawn(step) * np.float32(step != 2)}

    whole, reduced = (redundancy(trace, "k") for trace in both(keep))
    assert reduced.attrs["gaps"] == whole.attrs["gaps"]
    assert reduced["relative_l2"][0, 3, 2] == pytest.approx(1)
    assert reduced["activation_norm"][0, 2] == 0


def test_layers_of_other_ranks_are_no_gaps(both: Callable[..., tuple[Trace, Trace]]) -> None:
    """In a pipeline each rank has its own."""
    _, reduced = both(lambda rank, step: {f"k/{rank}": drawn(rank, step)}, ranks=2)
    found = redundancy(reduced, "k")
    assert found["cosine"].notnull().all()
    assert found.attrs["gaps"] == ""


def test_whole_tensors_come_first(both: Callable[..., tuple[Trace, Trace]]) -> None:
    """Sketches are used of what was not kept."""
    whole, reduced = both(moving)
    assert (sketched(whole), comparable(whole)) == ((), ("hidden", "k"))
    assert sketched(reduced) == comparable(reduced) == ("hidden", "k")
    with pytest.raises(InputError, match="did you mean 'hidden'"):
        redundancy(reduced, "hiden")


def test_the_command_and_the_figures_take_sketches(
    both: Callable[..., tuple[Trace, Trace]], tmp_path: Path
) -> None:
    """Of a trace with nothing else: similarity, lags and residuals, and what is made of them."""
    _, reduced = both(moving)
    out = tmp_path / "out"
    assert call(["analyse", str(reduced.folder), "--out", str(out)]) == OK
    index = json.loads((out / "index.json").read_text())
    assert {"redundancy-hidden.nc", "redundancy-k.nc"} <= {
        each["file"] for each in index["results"]
    }
    assert {"maps", "spectra", "codecs"} <= {each["name"] for each in index["absent"]}
    for module, arguments in ((similarity, ("k",)), (lags, ()), (residuals, ())):
        table = module.table(reduced, *arguments)
        assert set(table["evidence"]) == {WITHIN}
        drawn_texts = {
            text.get_text() for text in module.draw(table).findobj() if hasattr(text, "get_text")
        }
        assert any(WITHIN in text for text in drawn_texts)


@pytest.mark.slow
def test_real_activations_are_within_the_bound(tmp_path: Path) -> None:
    """Of a trained model, all tensors, layers and pairs of steps, under several projections.

    Where a tensor is hardly larger than its sketch nothing is lost; so the sketches are small here.
    """
    trace = run_local(
        schedule("single"),
        Job("dit-fashion", 1, 8, images=2),
        tmp_path / "T",
        keep=["kv", "hidden"],
    )
    assert trace.folder is not None
    seeds, error, beyond = 8, 0.1, []
    exact = {name: redundancy(trace, name) for name in ("k", "v", "hidden")}
    kv, hidden = (trace.activations(name).sel(rank=0).load() for name in ("kv", "hidden"))
    tensors = {"k": kv[:, :, 0], "v": kv[:, :, 1], "hidden": hidden}
    pairs = np.triu_indices(8, 1)
    for seed in range(seeds):
        what = Sketched(("k", "v", "hidden"), error=error, seed=seed)
        sink = what.sink(trace.folder / "rank-0", 0)
        for step in range(8):
            for name, x in tensors.items():
                for layer in range(6):
                    sink.take(name, layer, torch.from_numpy(x[step, layer].to_numpy()))
            sink.step_done(step)
        sink.close()
        for name in tensors:
            found = trace.sketches(name).sel(rank=0)["cosine"].to_numpy()
            off = np.abs(found - exact[name]["cosine"].to_numpy())
            beyond.append((off[:, *pairs] > error).mean())
    assert np.mean(beyond) <= 0.05
    assert np.max(beyond) < 0.2
