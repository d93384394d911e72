"""`python -m traces.capture script.py`: the script runs as it is, and is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from traces.trace import Trace

Ran = subprocess.CompletedProcess[str]

DENOISE = """
assert __name__ == "__main__"
model = Model()
with torch.inference_mode():
    x = torch.zeros(1, 4, 8)
    nn.Linear(8, 8)(x)
    for step in range(int(sys.argv[1])):
        x = model(x, timestep=torch.tensor(float(step)))
print("steps", sys.argv)
"""


@pytest.fixture
def captured(tmp_path: Path, prelude: str) -> Callable[..., Ran]:
    """Runs a script of this text; gives its process, and T is the trace."""

    def run(script: str, *words: str, options: tuple[str, ...] = ()) -> Ran:
        path = tmp_path / "script.py"
        path.write_text(prelude + textwrap.dedent(script))
        command = [sys.executable, "-m", "traces.capture", "--out", str(tmp_path / "T")]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [*command, *options, str(path), *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )

    return run


def test_help_starts_at_once_and_has_examples() -> None:
    """Without torch."""
    code = (
        "import sys; from traces.capture.script import main\n"
        "try: main(['--help'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torchrun --nproc-per-node 2 -m traces.capture" in done.stdout


@pytest.mark.slow
def test_a_script_is_run_with_its_own_arguments(
    captured: Callable[..., Ran], tmp_path: Path
) -> None:
    """The first module that is told a timestep and has blocks is recorded."""
    done = captured(DENOISE, "3", "--out", "elsewhere", options=("--activations", "k"))

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"steps ['{tmp_path / 'script.py'}', '3', '--out', 'elsewhere']\n"
    trace = Trace.open(tmp_path / "T")
    assert (trace.run.model, trace.run.steps, trace.problems) == ("Model", 3, ())
    assert trace.kept() == ("k",)


@pytest.mark.slow
def test_the_exit_code_is_the_scripts(captured: Callable[..., Ran], tmp_path: Path) -> None:
    """What was recorded is kept, and says how it ended."""
    done = captured(DENOISE + "sys.exit(7)", "2")

    assert done.returncode == 7
    trace = Trace.open(tmp_path / "T")
    assert trace.run.steps == 2
    (problem,) = trace.problems
    assert problem == "rank 0: the program ended in step 1: SystemExit: 7"


@pytest.mark.slow
def test_an_exception_is_the_scripts(captured: Callable[..., Ran]) -> None:
    """With its traceback."""
    done = captured(DENOISE + "raise LookupError('mine')", "2")

    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("LookupError: mine")


@pytest.mark.slow
def test_a_module_can_be_named(captured: Callable[..., Ran], tmp_path: Path) -> None:
    """By its class."""
    done = captured(DENOISE, "2", options=("--module", "Linear"))

    assert done.returncode == 0, done.stderr
    assert Trace.open(tmp_path / "T").run.model == "Linear"


@pytest.mark.slow
def test_where_nothing_is_found_it_is_said(captured: Callable[..., Ran], tmp_path: Path) -> None:
    """The script is none the worse."""
    done = captured("print(nn.Linear(8, 8)(torch.zeros(8)).shape)")

    assert (done.returncode, done.stdout) == (0, "torch.Size([8])\n")
    assert "nothing was recorded: no module was called that is told a timestep" in done.stderr
    assert not (tmp_path / "T").exists()


def test_a_place_that_is_taken_is_refused_at_once(
    captured: Callable[..., Ran], tmp_path: Path
) -> None:
    """The script is not run."""
    (tmp_path / "T").mkdir()
    (tmp_path / "T" / "mine").touch()
    done = captured("print('ran')")

    assert (done.returncode, done.stdout) == (2, "")
    assert "exists and is not empty" in done.stderr


@pytest.mark.slow
def test_activations_that_nothing_has_are_refused_at_once(captured: Callable[..., Ran]) -> None:
    """The script is not run."""
    done = captured("print('ran')", options=("--activations", "k,q"))

    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown activation 'q': there are k: keys" in done.stderr


@pytest.mark.slow
def test_guidance_is_counted_by_the_scheduler_of_the_pipeline_above(
    captured: Callable[..., Ran], tmp_path: Path
) -> None:
    """The pipeline that calls the denoiser is found, though nobody names it."""
    done = captured("""
        class Scheduler:
            def step(self, noise, x):
                return x + noise

        class Pipeline:
            def __init__(self):
                self.transformer, self.scheduler = Model(), Scheduler()
            def __call__(self):
                x = torch.zeros(1, 4, 8)
                for step in range(3):
                    for _ in range(2):
                        noise = self.transformer(x.clone(), timestep=torch.tensor(float(step)))
                    x = self.scheduler.step(noise, x)

        with torch.inference_mode():
            Pipeline()()
    """)
    assert done.returncode == 0, done.stderr
    assert Trace.open(tmp_path / "T").run.steps == 3
