"""Whole tensors, written while the program goes on: all there, whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from traces.capture.activations import FullTensors
from traces.capture.whole import UNFINISHED, WholeSink
from traces.errors import InputError
from traces.operation import Operation
from traces.run import Run
from traces.store import PartWriter, create
from traces.trace import Trace

RUN = Run("toy", "toy", 1, 3, "local", device="toy", network="none")


def record(path: Path, steps: list[Mapping[tuple[str, int], torch.Tensor]]) -> Trace:
    """A trace of one rank, with these tensors of each step, which the program then spoils."""
    create(path, RUN)
    part = PartWriter(path, 0)
    sink = WholeSink(FullTensors(("k",), queue_bytes=100), part.folder, 0)
    for step, kept in enumerate(steps):
        for (name, layer), tensor in kept.items():
            sink.take(name, layer, tensor)
            tensor.zero_()
        sink.step_done(step)
        row = Operation(0, step, "compute", "compute", "f", step, 0, step, step + 1, 1.0)
        part.step_done(step, [row], {})
    sink.close()
    assert sink.error is None
    part.close()
    return Trace.open(path)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Independent Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_what_is_taken_is_read_back(tmp_path: Path) -> None:
    """As it was when it was taken, views and other numbers too."""
    x = [
        {
            ("k", 0): drawn(4, 5, seed=step),
            ("k", 3): drawn(5, 4, seed=step + 10).T,
            ("a/b", 1): drawn(3).bfloat16(),
            ("n", -1): torch.arange(6),
        }
        for step in range(3)
    ]
    expected = [{key: tensor.clone() for key, tensor in of.items()} for of in x]
    trace = record(tmp_path / "T", list(x))
    assert trace.kept() == ("a/b", "k", "n")
    for step, of in enumerate(expected):
        for (name, layer), tensor in of.items():
            read = trace.activations(name).sel(rank=0, step=step, layer=layer)
            np.testing.assert_array_equal(read, tensor.float().numpy())


def test_a_steps_file_is_one_that_others_read(tmp_path: Path) -> None:
    """Also where so many tensors were taken that the header needs more room than was left."""
    many = {("attention.keys", layer): drawn(2, 3, seed=layer) for layer in range(900)}
    expected = {f"{name}/{layer}": tensor.clone() for (name, layer), tensor in many.items()}
    few = {("k", 0): torch.zeros(2), ("empty", 0): torch.zeros(0, 3)}
    record(tmp_path / "T", [many, few, {}])
    folder = tmp_path / "T" / "rank-0"
    found = load_file(folder / "step-00000.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert load_file(folder / "step-00001.safetensors")["empty/0"].shape == (0, 3)
    names = {path.name for path in folder.iterdir()}
    assert names == {"step-00000.safetensors", "step-00001.safetensors", "ops.parquet"}


def test_what_comes_again_in_a_step_is_kept_beside_it(tmp_path: Path) -> None:
    """As with guidance in two passes."""
    sink = WholeSink(FullTensors(("k",)), tmp_path, 0)
    for value in (1.0, 2.0):
        sink.take("k", 0, torch.tensor([value]))
    sink.step_done(0)
    sink.close()
    found = load_file(tmp_path / "step-00000.safetensors")
    assert {key: tensor.tolist() for key, tensor in found.items()} == {"k/0": [1], "k.2/0": [2]}
    assert sink.report.startswith("8 B of activations in 1 steps; at most 8 B were held")


def test_an_unfinished_step_leaves_nothing(tmp_path: Path) -> None:
    """The program ended in it."""
    sink = WholeSink(FullTensors(("k",)), tmp_path, 0)
    sink.take("k", 0, torch.zeros(3))
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_no_trace_holds_stop_it_and_not_the_program(tmp_path: Path) -> None:
    """With one warning, and an error for who asks; what was finished before stays."""
    sink = WholeSink(FullTensors(("k",)), tmp_path, 0)
    sink.take("k", 0, torch.zeros(3))
    sink.step_done(0)

    def go_on() -> None:
        sink.take("k", 0, torch.zeros(3, dtype=torch.complex64))
        sink.step_done(1)
        sink.take("k", 0, torch.zeros(3))
        sink.step_done(2)
        sink.close()

    with pytest.warns(UserWarning, match="'k/0' is of complex64") as warned:
        go_on()
    assert len(warned) == 1
    assert isinstance(sink.error, InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000.safetensors"]


TAKE_FOR_EVER = """
import resource, sys
from pathlib import Path
import torch
from traces.capture.activations import parse
from traces.operation import Operation
from traces.store import PartWriter

torch.set_num_threads(1)
part = PartWriter(Path(sys.argv[1]), 0)
sink = parse(sys.argv[2]).sink(part.folder, 0)
limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for step in range(int(sys.argv[4])):
    for layer in range(4):
        sink.take("k", layer, torch.full((1, 200, 300), float(step + 1)))
    sink.step_done(step)
    row = Operation(0, step, "compute", "compute", "f", step, 0, step, step + 1.0, 1.0)
    part.step_done(step, [row], {})
    print(step, flush=True)
sink.close()
print(type(sink.error).__name__, sink.error, flush=True)
"""


def begin(path: Path, *arguments: object) -> list[str]:
    """The command of a process that takes tensors of 240 kB, four a step."""
    create(path, Run("toy", "toy", 1, 10**6, "local", device="toy", network="none"))
    return [sys.executable, "-c", TAKE_FOR_EVER, str(path), *map(str, arguments)]


@pytest.fixture
def killed(tmp_path: Path) -> Callable[[str, str, int], Trace]:
    """The trace of a process that was killed at some moment after a step's file was there."""

    def run(form: str, name: str, last: int) -> Trace:
        awaited = tmp_path / "T" / "rank-0" / f"{name}-{last:05}.safetensors"
        command = begin(tmp_path / "T", form, 0, 10**6)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= last and awaited.exists():
                    break
            process.kill()
        return Trace.open(tmp_path / "T")

    return run


@pytest.mark.slow
@pytest.mark.parametrize("last", [0, 7])
def test_a_killed_process_leaves_whole_steps(
    killed: Callable[[str, str, int], Trace], last: int
) -> None:
    """Every file that there is can be read to its last number, and none is missing in between."""
    trace = killed("k", "step", last)
    assert trace.folder is not None
    there = sorted(trace.folder.glob("rank-0/step-?????.safetensors"))
    assert [int(path.stem[5:]) for path in there] == list(range(len(there)))
    kept = trace.activations("k")
    steps = kept["step"].to_numpy()
    assert steps.tolist() == list(range(len(steps)))
    assert last < len(steps) <= len(there)
    for step in steps:
        assert (kept.sel(step=step) == step + 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("last", [0, 7])
def test_a_killed_process_leaves_whole_reduced_steps(
    killed: Callable[[str, str, int], Trace], last: int
) -> None:
    """The same of what is reduced on the fly."""
    found = killed("k:sketch,lags=1", "reduced", last).sketches("k")
    steps = found["step"].to_numpy()
    assert steps.tolist() == list(range(len(steps)))
    assert len(steps) > last
    expected = (200 * 300) ** 0.5 * (steps + 1)
    np.testing.assert_allclose(found["norm"][0], np.tile(expected, (4, 1)), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "limit"), [("k", 500_000), ("k:sketch", 50_000)])
def test_a_disk_that_takes_no_more_stops_the_sink_and_not_the_program(
    tmp_path: Path, form: str, limit: int
) -> None:
    """A limit on files' sizes stands for it; all steps are run, and one warning is given."""
    command = begin(tmp_path / "T", form, limit, 5)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    *steps, error = done.stdout.splitlines()
    assert (done.returncode, steps) == (0, ["0", "1", "2", "3", "4"])
    assert error.startswith("RunError")
    assert "File too large" in error
    assert done.stderr.count("no more activations are kept; the run goes on") == 1
    assert not list((tmp_path / "T" / "rank-0").glob("*.tmp"))
    trace = Trace.open(tmp_path / "T")
    assert len(trace.ops) == 5
    assert trace.kept() == trace.reduced() == ()


def test_an_unfinished_file_is_removed_with_its_trace(tmp_path: Path) -> None:
    """What a kill left is ours."""
    record(tmp_path / "T", [{("k", 0): drawn(2)}])
    part = tmp_path / "T" / "rank-0"
    (part / UNFINISHED).write_bytes(b"half")
    (part / "reduced-00000.safetensors").write_bytes(b"")
    create(tmp_path / "T", RUN, overwrite=True)
    assert [path.name for path in (tmp_path / "T").iterdir()] == ["run.json"]
    assert json.loads((tmp_path / "T" / "run.json").read_text())["model"] == "toy"
