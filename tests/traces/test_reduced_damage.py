"""A file of reduced activations that is damaged or hostile is named, whatever is wrong with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from traces.capture.activations import Sketched
from traces.errors import TraceError
from traces.operation import Operation
from traces.reduced_file import FORMAT, ReducedFile
from traces.run import Run
from traces.store import PartWriter, create
from traces.trace import Trace

Arrays = dict[str, NDArray[Any]]
About = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of two steps of two layers."""
    path = tmp_path_factory.mktemp("damage") / "T"
    create(path, Run("toy", "toy", 1, 2, "local", device="toy", network="none"))
    part = PartWriter(path, 0)
    sink = Sketched(("k",), lags=1, error=0.4).sink(part.folder, 0)
    for step in range(2):
        for layer in range(2):
            sink.take("k", layer, torch.arange(60.0).reshape(1, 12, 5) + step * layer)
        sink.step_done(step)
        row = Operation(0, step, "compute", "compute", "f", step, 0, step, step + 1.0, 1.0)
        part.step_done(step, [row], {})
    sink.close()
    part.close()
    return path


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """The file of the second step, in a copy of the trace."""
    shutil.copytree(whole, tmp_path / "T")
    return tmp_path / "T" / "rank-0" / "reduced-00001.safetensors"


def read(path: Path) -> None:
    """Everything of the trace that the file is in."""
    trace = Trace.open(path.parent.parent)
    for name in trace.reduced():
        trace.sketches(name)


def test_what_is_whole_is_read(damaged: Path) -> None:
    """Else all below would say nothing."""
    read(damaged)


def without(key: str) -> Callable[[Arrays, About], None]:
    """Lacks an array."""

    def change(arrays: Arrays, about: About) -> None:
        del about, arrays[key]

    return change


def with_(key: str, value: Any) -> Callable[[Arrays, About], None]:
    """Has another array."""

    def change(arrays: Arrays, about: About) -> None:
        del about
        arrays[key] = np.asarray(value)

    return change


def saying(**changes: Any) -> Callable[[Arrays, About], None]:
    """Says something else of itself; None: not that."""

    def change(arrays: Arrays, about: About) -> None:
        del arrays
        about.update(changes)
        for key in [key for key, value in about.items() if value is None]:
            del about[key]

    return change


HALF, LONG = np.float16, np.float64
CASES = {
    "lacks an array": (without("token/k/1"), "there is no 'token/k/1'"),
    "lacks a sketch": (without("change/k/1"), "there is no 'change/k/1'"),
    "a name of no tensor": (with_("change", [1.0]), "'change'; expected a name like"),
    "a name of no layer": (with_("change/k/one", [1.0]), "'change/k/one'; expected a name like"),
    "a layer of two signs": (with_("change/k/--1", [1.0]), "'change/k/--1'; expected a name"),
    "another part": (with_("mean/k/1", [1.0]), "'mean/k/1'; expected a name like"),
    "another type": (with_("token/k/1", np.zeros(12)), "'token/k/1' is float64"),
    "another rank": (with_("token/k/1", np.zeros((12, 1), HALF)), r"of shape \[12, 1\]"),
    "a short sketch": (with_("change/k/1", np.zeros(3, HALF)), "has 3 numbers, not 29"),
    "no tokens": (with_("token/k/1", np.zeros(0, HALF)), "numbers, not 0"),
    "no scale": (with_("numbers/k/1", np.array([1, np.nan, 0])), "expected 0 or more"),
    "a square below 0": (with_("numbers/k/1", np.array([-1.0, 1, 0])), "expected 0 or more"),
    "an endless square": (with_("numbers/k/1", np.array([np.inf, 1, 0])), "expected 0 or more"),
    "an endless change": (with_("change/k/1", np.full(29, np.inf, HALF)), "is not finite"),
    "no number of a token": (with_("token/k/1", np.full(12, np.nan, HALF)), "is not finite"),
    "other tokens": (with_("token/k/1", np.zeros(13, HALF)), r"k/1 is \(13, 5\), and \(12, 5\)"),
    "another step": (saying(step=7), "it is of step 7"),
    "a later version": (saying(version=2), "is of version 2; this thinwire reads 1"),
    "after another step": (saying(after=-1), "changes since step -1, whose file is missing"),
    "no version": (saying(version=None), "its metadata make no sense"),
    "no seed": (saying(seed=None), "its metadata make no sense"),
    "more than there is": (saying(more=1), "its metadata make no sense"),
    "text for a number": (saying(buckets="17"), "other types of numbers"),
    "no buckets": (saying(buckets=0), "is out of range"),
    "an error of 2": (saying(error=2.0), "is out of range"),
    "another seed": (saying(seed=5), "was reduced with .*seed=5.*, but .*reduced-00000"),
    "many lags": (saying(lags=2**40), "was reduced with"),
}


@pytest.mark.parametrize(("change", "message"), CASES.values(), ids=CASES)
def test_what_makes_no_sense_is_named(
    damaged: Path, change: Callable[[Arrays, About], None], message: str
) -> None:
    """The file, the tensor, and what was expected."""
    arrays: Arrays = dict(load_file(damaged))
    about = {"version": 1, "step": 1, "after": 0, "buckets": 29, "lags": 1, "seed": 0, "error": 0.4}
    change(arrays, about)
    damaged.write_bytes(save(arrays, {FORMAT: json.dumps(about)}))
    with pytest.raises(TraceError, match=rf"reduced-00001\.safetensors: .*{message}"):
        read(damaged)


def test_a_step_whose_file_is_gone_is_missed(damaged: Path) -> None:
    """By the next one, whose sketches would be wrong without it."""
    (damaged.parent / "reduced-00000.safetensors").unlink()
    with pytest.raises(
        TraceError, match=r"reduced-00001\.safetensors: .* since step 0, whose file"
    ):
        read(damaged)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {FORMAT: "[" * 10**5}, {FORMAT: "7"}])
def test_other_peoples_files_are_refused(damaged: Path, metadata: dict[str, str] | None) -> None:
    """They are safetensors, but nothing is reduced in them."""
    damaged.write_bytes(save({"x": np.zeros(3)}, metadata))
    with pytest.raises(TraceError, match=r"reduced-00001\.safetensors: .*its metadata"):
        read(damaged)


def test_a_folder_in_its_place_is_refused(damaged: Path) -> None:
    """As a file that cannot be read."""
    damaged.unlink()
    damaged.mkdir()
    with pytest.raises(TraceError, match=r"reduced-00001\.safetensors"):
        read(damaged)


def attempt(path: Path, data: bytes) -> None:
    """A file of these bytes is read, or refused by its name."""
    path.write_bytes(data)
    try:
        file = ReducedFile(path, 1)
        for name, layer in file.tensors():
            file.entry(name, layer)
        read(path)
    except TraceError as error:
        assert "reduced-0000" in str(error)  # noqa: PT017 - or nothing at all is raised


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_any_bytes_are_read_or_refused(damaged: Path, whole: Path, data: st.DataObject) -> None:
    """Cut short, with a few bytes changed, with a header of other lengths, and anything else."""
    good = (whole / "rank-0" / damaged.name).read_bytes()
    kind = data.draw(st.sampled_from(["cut", "changed", "length", "anything"]))
    if kind == "cut":
        attempt(damaged, good[: data.draw(st.integers(0, len(good) - 1))])
    elif kind == "changed":
        bad = bytearray(good)
        places = st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255))
        for place, value in data.draw(st.lists(places, min_size=1, max_size=4)):
            bad[place] = value
        attempt(damaged, bytes(bad))
    elif kind == "length":
        length = data.draw(st.integers(0, 2**64 - 1))
        attempt(damaged, length.to_bytes(8, "little") + good[8:])
    else:
        attempt(damaged, data.draw(st.binary(max_size=400)))
