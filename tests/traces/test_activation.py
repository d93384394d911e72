"""Activations come back as they were kept, labelled, and only where they are indexed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from traces.errors import InputError, TraceError
from traces.operation import Operation
from traces.run import Run
from traces.store import PartWriter, create
from traces.trace import Trace

Keep = Callable[[int, int], Mapping[str, torch.Tensor]]


@pytest.fixture
def kept(
    tmp_path: Path, run: Run, rows: Callable[[int], list[list[Operation]]]
) -> Callable[[Keep], Trace]:
    """Records the program, keeping what a function of (rank, step) gives."""

    def write(keep: Keep) -> Trace:
        create(tmp_path / "kept", run)
        for rank in range(run.ranks):
            part = PartWriter(tmp_path / "kept", rank)
            for step, operations in enumerate(rows(rank)):
                part.step_done(step, operations, keep(rank, step))
            part.close()
        return Trace.open(tmp_path / "kept")

    return write


def numbered(rank: int, step: int) -> dict[str, torch.Tensor]:
    """Layers 0 and 3 of 4 x 5 numbers that say where they are from."""
    base = torch.arange(20.0).reshape(4, 5) + 1000 * rank + 100 * step
    return {"block/0": base, "block/3": -base, "attn/out/0": base[:, 0]}


def test_kept_activations_are_labelled(kept: Callable[[Keep], Trace]) -> None:
    """Dimensions rank, step, layer, then the tensor's own; names may hold a slash."""
    trace = kept(numbered)
    block = trace.activations("block")

    assert trace.kept() == ("attn/out", "block")
    assert block.dims == ("rank", "step", "layer", "d0", "d1")
    assert block.shape == (2, 3, 2, 4, 5)
    assert block.dtype == np.float32
    assert block.coords["layer"].to_numpy().tolist() == [0, 3]
    np.testing.assert_array_equal(
        block.sel(rank=1, step=2, layer=3), -numbered(1, 2)["block/0"].numpy()
    )


@pytest.mark.parametrize(
    "key",
    [
        (),
        (1,),
        (slice(None), 2, 1),
        (..., slice(None, None, -2)),
        (0, [2, 0], slice(None), [3, 1], slice(1, 4)),
        (slice(1), slice(1, None), [1], -1, [0, -1]),
        ([], 0),
    ],
)
def test_any_index_reads_what_it_would_of_the_whole(
    kept: Callable[[Keep], Trace], key: tuple[object, ...]
) -> None:
    """Lazily, and of the array that was loaded first."""
    trace = kept(numbered)
    loaded = trace.activations("block").load()

    np.testing.assert_array_equal(trace.activations("block")[key], loaded[key])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32])
def test_other_number_formats_are_read_as_float32(
    kept: Callable[[Keep], Trace], dtype: torch.dtype
) -> None:
    """With the values that torch gives them."""
    value = torch.linspace(-3, 70000, 11).to(dtype)

    read = kept(lambda *_: {"x/0": value}).activations("x")

    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[1, 2, 0], value.float().numpy())


def test_views_are_kept_as_they_are_seen(kept: Callable[[Keep], Trace]) -> None:
    """Transposed, shared between names, without dimensions, and empty."""
    base = torch.arange(6.0).reshape(2, 3)
    trace = kept(lambda *_: {"a/0": base.T, "b/0": base, "c/0": base[1, 1], "d/0": base[:0]})

    np.testing.assert_array_equal(trace.activations("a")[0, 0, 0], base.T.numpy())
    np.testing.assert_array_equal(trace.activations("b")[0, 0, 0], base.numpy())
    assert trace.activations("c").shape == (2, 3, 1)
    assert trace.activations("c")[0, 0, 0] == 4.0
    assert trace.activations("d").load().shape == (2, 3, 1, 0, 3)


def test_what_was_not_kept_is_nan(kept: Callable[[Keep], Trace]) -> None:
    """Here rank 1 keeps nothing in step 1."""
    trace = kept(lambda rank, step: {} if (rank, step) == (1, 1) else numbered(rank, step))

    missing = trace.activations("block").isnull().any(["layer", "d0", "d1"]).to_numpy()

    assert missing.tolist() == [[False, False, False], [False, True, False]]


def test_shapes_that_differ_are_refused(kept: Callable[[Keep], Trace]) -> None:
    """The message says where; a name has one shape."""
    trace = kept(lambda rank, _: {"x/0": torch.zeros(2 + rank, 3)})

    with pytest.raises(
        TraceError,
        match=r"rank-1.step-00000.safetensors: activation 'x' of layer 0 has shape \(3, 3\), "
        r"but \(2, 3\) on rank 0, step 0, layer 0",
    ):
        trace.activations("x")


def test_an_unknown_name_is_refused(kept: Callable[[Keep], Trace]) -> None:
    """With the nearest that there is."""
    with pytest.raises(InputError, match="unknown activation 'blok': did you mean 'block'"):
        kept(numbered).activations("blok")


def test_a_trace_without_activations_has_none(whole: Trace) -> None:
    """In memory there never are any."""
    assert whole.kept() == ()


def test_saving_takes_activations_along(kept: Callable[[Keep], Trace], tmp_path: Path) -> None:
    """All of them, unchanged."""
    trace = kept(numbered)
    trace.save(tmp_path / "copy")

    copy = Trace.open(tmp_path / "copy")

    assert copy.kept() == trace.kept()
    np.testing.assert_array_equal(copy.activations("block"), trace.activations("block"))


def test_a_trace_can_be_sent_to_another_process(kept: Callable[[Keep], Trace]) -> None:
    """It is still lazy there."""
    trace = pickle.loads(pickle.dumps(kept(numbered)))  # noqa: S301 its own

    assert trace.activations("block")[1, 1, 0, 0, 0] == 1100.0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "is damaged or no safetensors file"),
        (lambda data: data[:-1], "the file is cut short"),
        (lambda data: data[:20], "is damaged or no safetensors file"),
        (lambda _: b"\xff\xff\1" + bytes(5) + b"[" * 2**17, "is damaged or no safetensors file"),
        (lambda _: b"\xff" * 64, "is damaged or no safetensors file"),
        (lambda data: data.replace(b"attn/out/0", b"attn/out00"), "tensor 'attn/out00'; expected"),
        (lambda data: data.replace(b"F32", b"F99"), "tensors of F99 are not read"),
        (lambda data: data.replace(b"[4,5]", b"[4,6]"), "the file is cut short"),
        (lambda data: data.replace(b'"dtype"', b'"dtypo"'), "is damaged or no safetensors file"),
    ],
)
def test_a_damaged_file_is_named(
    kept: Callable[[Keep], Trace], damage: Callable[[bytes], bytes], message: str
) -> None:
    """Before anything of it is taken for numbers."""
    trace = kept(numbered)
    assert trace.folder is not None
    path = trace.folder / "rank-1" / "step-00001.safetensors"
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(TraceError, match=rf"step-00001.safetensors: .*{message}"):
        trace.kept()
