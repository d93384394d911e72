"""Reduced tensors come back from a trace as norms, similarities and moments of what was taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from traces.capture.activations import Sketched
from traces.capture.sketched import SketchSink
from traces.errors import InputError
from traces.operation import Operation
from traces.reduced_file import tensor_bytes
from traces.run import Run
from traces.store import PartWriter, create
from traces.trace import Trace

Taken = Mapping[tuple[str, int], torch.Tensor]
Take = Callable[[int, int], Taken]


def record(path: Path, take: Take, what: Sketched, *, ranks: int = 1, steps: int = 5) -> Trace:
    """A trace whose ranks take this in each step."""
    create(path, Run("toy", "toy", ranks, steps, "local", device="toy", network="none"))
    for rank in range(ranks):
        part = PartWriter(path, rank)
        sink = SketchSink(what, part.folder, rank)
        for step in range(steps):
            for (name, layer), tensor in take(rank, step).items():
                sink.take(name, layer, tensor)
            sink.step_done(step)
            row = Operation(rank, step, "compute", "compute", "f", step, 0, step, step + 1, 1.0)
            part.step_done(step, [row], {})
        sink.close()
        assert sink.error is None
        part.close()
    return Trace.open(path)


def drawn(*place: int, shape: tuple[int, ...] = (2, 60, 50)) -> torch.Tensor:
    """Independent Gaussian numbers, others for each place."""
    return torch.from_numpy(np.random.default_rng(place).standard_normal(shape, np.float32))


def walk(rank: int, step: int) -> Taken:
    """Two layers, and a small change from step to step."""
    changes = (0.02 * drawn(rank, layer, s) for layer in (0, 3) for s in range(1, step + 1))
    moved = list(changes)
    half = len(moved) // 2
    return {
        ("k", 0): sum(moved[:half], drawn(rank, 0, 0)),
        ("k", 3): sum(moved[half:], drawn(rank, 3, 0)),
    }


@pytest.mark.parametrize("error", [0.02, 0.1])
def test_steps_are_as_alike_as_they_were(tmp_path: Path, error: float) -> None:
    """Norms exactly; cosines, distances and second residuals within the bounds that are stated."""
    trace = record(tmp_path / "T", walk, Sketched(("k",), error=error), ranks=2)
    assert (trace.reduced(), trace.kept()) == (("k",), ())
    found = trace.sketches("k")
    assert found.attrs["error"] == error
    assert found.attrs["evidence"] == f"sketched, within ±{100 * error:g} %"
    assert found["kept"].all()
    for rank in (0, 1):
        for layer in (0, 3):
            x = torch.stack([walk(rank, s)["k", layer].flatten() for s in range(5)]).double()
            norms = x.norm(dim=1)
            here = found.sel(rank=rank, layer=layer)
            np.testing.assert_allclose(here["norm"], norms, rtol=1e-6)
            cosines = (x @ x.T) / torch.outer(norms, norms)
            np.testing.assert_allclose(here["cosine"], cosines, atol=error)
            # So far off for 95 of 100, which is two standard errors; here none is beyond five.
            off = 2.5 * found.attrs["relative_error"]
            np.testing.assert_allclose(here["distance"], torch.cdist(x, x), rtol=off, atol=1e-9)
            second = (x[2:] - 2 * x[1:-1] + x[:-2]).norm(dim=1)
            np.testing.assert_allclose(here["second_residual_norm"][2:], second, rtol=off)
            assert here["second_residual_norm"][:2].isnull().all()


def test_changes_of_lags_that_were_asked_for_are_exact(tmp_path: Path) -> None:
    """And so are the distances of these steps."""
    found = record(tmp_path / "T", walk, Sketched(("k",), lags=2, error=0.2)).sketches("k")
    x = torch.stack([walk(0, s)["k", 3].flatten() for s in range(5)]).double()
    exact = torch.cdist(x, x).numpy()
    here = found.sel(rank=0, layer=3)
    for lag in (1, 2):
        np.testing.assert_allclose(
            here["residual_norm"].sel(lag=lag)[lag:], exact.diagonal(lag), rtol=1e-5
        )
        assert here["residual_norm"].sel(lag=lag)[:lag].isnull().all()
        np.testing.assert_allclose(
            here["distance"].to_numpy().diagonal(lag), exact.diagonal(lag), rtol=1e-5
        )
    assert not np.allclose(here["distance"].to_numpy().diagonal(3), exact.diagonal(3), rtol=1e-3)


def test_a_change_far_below_the_activation_is_known_as_well(tmp_path: Path) -> None:
    """A ten-thousandth of it, which half precision of the whole would not show."""

    def creep(_: int, step: int) -> Taken:
        return {("k", 0): drawn(0) + 1e-4 * step * drawn(1)}

    found = record(tmp_path / "T", creep, Sketched(("k",), error=0.05)).sketches("k")
    step = 1e-4 * float(drawn(1).norm())
    expected = step * np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    np.testing.assert_allclose(found["distance"][0, 0], expected, rtol=0.04, atol=1e-6 * step)


def test_equal_steps_are_at_cosine_1_and_distance_0(tmp_path: Path) -> None:
    """Exactly."""
    same = record(tmp_path / "T", lambda rank, _: {("k", 0): drawn(rank)}, Sketched(("k",)))
    found = same.sketches("k")
    assert (found["cosine"] == 1).all()
    assert (found["distance"] == 0).all()
    assert (found["second_residual_norm"][..., 2:] == 0).all()


def test_moments_are_root_mean_squares_to_half_precision(tmp_path: Path) -> None:
    """Of tokens of all images, and of channels of all heads."""
    x = 1e3 * drawn(5, shape=(2, 3, 40, 10)) * torch.logspace(-4, 4, 40)[:, None]
    found = record(tmp_path / "T", lambda *_: {("k", 0): x}, Sketched(("k",))).sketches("k")
    rows = x.swapaxes(1, 2).reshape(80, 30).double().numpy()
    tokens, channels = (np.sqrt(np.square(rows).mean(axis=axis)) for axis in (1, 0))
    least = 1e-7 * channels.max()  # the smallest that half precision has
    here = found.sel(rank=0, layer=0, step=1)
    np.testing.assert_allclose(here["token_rms"], tokens, rtol=1e-3, atol=least)
    np.testing.assert_allclose(here["channel_rms"], channels, rtol=1e-3)


def lost(rank: int, step: int) -> Taken:
    """Step 1 is not taken, step 2 holds an infinity; layer 3 belongs to rank 1 only."""
    if step == 1:
        return {}
    x = drawn(rank) + step
    if step == 2:
        x[0, 0, 0] = torch.inf
    return {("k", 3 if rank else 0): x}


def test_what_is_missing_or_not_finite_is_nan_and_the_rest_is_there(tmp_path: Path) -> None:
    """Later changes are from the last step that was finite."""
    trace = record(tmp_path / "T", lost, Sketched(("k",), lags=1), ranks=2)
    found = trace.sketches("k")
    assert found["step"].to_numpy().tolist() == [0, 2, 3, 4]
    for rank, layer in ((0, 0), (1, 3)):
        here = found.sel(rank=rank, layer=layer)
        assert here["kept"].to_numpy().tolist() == [True] * 4
        assert here["norm"].isnull().to_numpy().tolist() == [False, True, False, False]
        expected = float((drawn(rank) - drawn(rank) - 3).norm())
        assert here["distance"].sel(step=0, other_step=3) == pytest.approx(expected, rel=0.01)
        residuals = here["residual_norm"].sel(lag=1)
        assert residuals.isnull().to_numpy().tolist() == [True, True, True, False]
        assert here["token_rms"].sel(step=2).isnull().all()
    assert not found["kept"].sel(rank=0, layer=3).any()
    assert found["distance"].sel(rank=0, layer=3).isnull().all()


def test_layers_may_have_other_numbers_of_tokens(tmp_path: Path) -> None:
    """Text and image together in some, and the image alone in others."""

    def take(_: int, step: int) -> Taken:
        return {("k", layer): drawn(step, shape=(1, 7 + layer, 4)) for layer in (0, 5)}

    found = record(tmp_path / "T", take, Sketched(("k",))).sketches("k")
    assert found.sizes["token"] == 12
    assert found["token_rms"].sel(layer=0)[..., 7:].isnull().all()
    assert found["token_rms"].sel(layer=5).notnull().all()
    assert found["cosine"].notnull().all()


def test_files_are_as_large_as_the_formula_says(tmp_path: Path) -> None:
    """But for the header; whatever the tensor and the settings."""
    for number, (shape, lags, error) in enumerate(
        [((1, 20, 30), 0, 0.02), ((1, 300, 64), 2, 0.02), ((1, 300, 64), 0, 0.1)]
    ):
        x = drawn(1, shape=shape)
        what = Sketched(("k",), lags=lags, error=error)
        trace = record(
            tmp_path / str(number), lambda *_, x=x: {("k", n): x for n in range(8)}, what
        )
        assert trace.folder is not None
        sizes = [path.stat().st_size for path in trace.folder.glob("rank-0/reduced-*")]
        formula = 8 * tensor_bytes(shape[1], shape[2], {0.02: 10007, 0.1: 401}[error], lags)
        assert len(sizes) == 5
        assert all(0 < size - formula < 400 * 8 + 200 for size in sizes)


def test_the_same_run_makes_the_same_bytes(tmp_path: Path) -> None:
    """Of the same seed; another seed is another projection."""
    files = []
    for number, seed in enumerate((1, 1, 2)):
        what = Sketched(("k",), error=0.1, seed=seed)
        folder = record(tmp_path / str(number), walk, what).folder
        assert folder is not None
        files.append((folder / "rank-0" / "reduced-00003.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_saved_trace_has_its_sketches(tmp_path: Path) -> None:
    """The files are copied."""
    trace = record(tmp_path / "T", walk, Sketched(("k",)))
    trace.save(tmp_path / "saved")
    assert Trace.open(tmp_path / "saved").sketches("k").identical(trace.sketches("k"))


def test_a_name_that_was_not_sketched_is_refused(tmp_path: Path) -> None:
    """With those that were."""
    trace = record(tmp_path / "T", walk, Sketched(("k",)))
    with pytest.raises(InputError, match=r"unknown sketched activation 'v': .*there are k"):
        trace.sketches("v")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (torch.zeros(1, 5, 4), r"k/0 is \(1, 5, 4\) and was \(1, 6, 4\) in an earlier step"),
        (torch.zeros(1, 6, 4, dtype=torch.int64), "only floating-point tensors"),
        (torch.zeros(1, 0, 4), "only floating-point tensors that have numbers"),
    ],
)
def test_what_cannot_be_compared_stops_it_and_not_the_program(
    tmp_path: Path, second: torch.Tensor, message: str
) -> None:
    """With one warning; steps before are kept."""
    sink = SketchSink(Sketched(("k",)), tmp_path, 0)
    sink.take("k", 0, torch.ones(1, 6, 4))
    sink.step_done(0)
    with pytest.warns(UserWarning, match=message) as warned:
        sink.take("k", 0, second)
    sink.step_done(1)
    sink.take("k", 0, torch.ones(1, 6, 4))
    sink.close()
    assert len(warned) == 1
    assert isinstance(sink.error, InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["reduced-00000.safetensors"]


def test_it_takes_whatever_mode_the_program_is_in(tmp_path: Path) -> None:
    """Inference mode in some steps, and gradients or lower precision in others."""
    sink = SketchSink(Sketched(("k",), lags=1), tmp_path, 0)
    modes: list[AbstractContextManager[Any]] = [
        torch.inference_mode(),
        torch.enable_grad(),
        torch.autocast("cpu"),
        torch.no_grad(),
    ]
    for step, mode in enumerate(modes):
        with mode:
            sink.take("k", 0, drawn(step))
        sink.step_done(step)
    sink.close()
    assert sink.error is None


def test_the_program_may_change_what_it_gave(tmp_path: Path) -> None:
    """Also the tensors of steps before, that lags are from; gradients are none of its business."""
    sink = SketchSink(Sketched(("k",), lags=1), tmp_path, 0)
    x = torch.ones(1, 6, 4, requires_grad=True)
    for step in range(2):
        sink.take("k", 0, x)
        with torch.no_grad():
            x.add_(1)
        sink.step_done(step)
    sink.close()
    assert sink.error is None
    assert "192 B of activations in 2 steps" in sink.report
