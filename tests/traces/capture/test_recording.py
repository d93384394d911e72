"""A recording of a model in this process: what its rows say, and that nothing of it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from traces.capture import Sketched, capture
from traces.capture.collectives import FUNCTIONS, METHODS
from traces.errors import InputError
from traces.summary import summarize
from traces.trace import Trace


def denoise(model: nn.Module, steps: int = 2, **more: Any) -> None:
    """Call it as a pipeline would."""
    with torch.inference_mode():
        x = torch.randn(1, 4, 8)
        for step in range(steps):
            x = x + model(x, torch.tensor(float(step)), **more)


def entries() -> dict[str, Any]:
    """What a recording may have replaced in torch."""
    spaces = [
        getattr(torch.ops, name) for name in ("_c10d_functional", "_c10d_functional_autograd")
    ]
    found = {f"group.{name}": vars(dist.ProcessGroup).get(name) for name in METHODS}
    found["wait"] = vars(dist.Work)["wait"]
    for space in spaces:
        found |= {f"{space}.{name}": getattr(space, name, None) for name in FUNCTIONS}
    return found


def hooks(model: nn.Module) -> int:
    """How many there are on all its modules."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_the_thread_is_tiled_by_the_innermost_modules(model: nn.Module, tmp_path: Path) -> None:
    """In program order, without gaps between them inside the model."""
    with capture(model, tmp_path / "T"):
        denoise(model, steps=2)

    trace = Trace.open(tmp_path / "T")

    block = [("blocks", "blocks.attn", "blocks", "Model")]
    names = ["Model", *[name for three in block * 3 for name in three]]
    first = trace.ops[trace.ops["step"] == 0]
    assert first["name"].tolist() == names
    assert first["layer"].tolist() == [-1, 0, 0, 0, -1, 1, 1, 1, -1, 2, 2, 2, -1]
    assert (first["host_s"].iloc[1:] == 0).all()
    assert (trace.ops["start_s"].to_numpy()[1:] >= trace.ops["end_s"].to_numpy()[:-1]).all()
    assert (trace.run.model, trace.run.driver, trace.run.evidence) == (
        "Model",
        "captured",
        "measured",
    )
    assert (trace.run.steps, trace.problems) == (2, ())
    summary = summarize(trace)
    assert summary.total_s == pytest.approx(summary.compute_s + summary.host_s)


def test_everything_is_restored(model: nn.Module, tmp_path: Path) -> None:
    """The modules' hooks and torch's functions."""
    before = entries(), hooks(model)
    with capture(model, tmp_path / "T", activations=["k"]):
        assert hooks(model) > before[1]
        assert entries() != before[0]
        denoise(model)
    assert (entries(), hooks(model)) == before


def test_everything_is_restored_after_an_exception(model: nn.Module, tmp_path: Path) -> None:
    """And it is passed on; the steps before are there, and the trace says what happened."""
    before = entries(), hooks(model)

    def program() -> None:
        with capture(model, tmp_path / "T"):
            denoise(model, steps=2)
            model(torch.randn(1, 4, 7), torch.tensor(9.0))

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        program()

    assert (entries(), hooks(model)) == before
    trace = Trace.open(tmp_path / "T")
    assert trace.run.steps == 2
    (problem,) = trace.problems
    assert problem.startswith("rank 0: the program ended in step 2: RuntimeError: mat1 and mat2")


def test_a_recording_goes_on_after_an_exception_that_the_program_catches(
    model: nn.Module, tmp_path: Path
) -> None:
    """Modules that raised are not taken to go on for ever."""
    with capture(model, tmp_path / "T"):
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            model(torch.randn(1, 4, 7), torch.tensor(0.0))
        denoise(model, steps=1)

    ops = Trace.open(tmp_path / "T").ops
    assert ops[ops["step"] == 1]["name"].iloc[0] == "Model"
    assert ops[ops["step"] == 1]["layer"].max() == 2


def test_a_model_that_gives_nothing_back_has_not_raised(tmp_path: Path) -> None:
    """As one that sends its result on to another rank; also in a second try. Its steps are kept."""

    class Sends(nn.Module):
        def forward(self, x: torch.Tensor, timestep: int) -> None:
            if timestep < 0:
                raise ValueError(x)

    model = Sends()
    with capture(model, tmp_path / "T") as recording:
        model(torch.zeros(1), 0)
        try:
            model(torch.zeros(1), -1)
        except ValueError:
            model(torch.zeros(1), 2)

    assert recording.steps == 3


def test_torchs_own_encoder_layers_keep_their_fast_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which they leave for one that calls their attention where they find a hook."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2))
            self.layers = nn.ModuleList(layers)

        def forward(self, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = layer(x)
            return x * timestep

    def slow(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(nn.MultiheadAttention, "forward", slow)
    model = Encoder().eval()
    with capture(model, tmp_path / "T", activations=["hidden"]):
        denoise(model, steps=2)

    trace = Trace.open(tmp_path / "T")
    first = trace.ops[trace.ops["step"] == 0]
    assert first["layer"].tolist() == [-1, 0, -1, 1, -1]
    assert trace.activations("hidden").sizes["layer"] == 2
    denoise(model)


def test_a_model_of_no_blocks_is_one_compute(tmp_path: Path) -> None:
    """Any module will do."""
    model = nn.Linear(8, 8)
    with capture(model, tmp_path / "T"):
        model(torch.randn(2, 8))
    ops = Trace.open(tmp_path / "T").ops
    assert ops["name"].tolist() == ["Linear"]


class Guided(nn.Module):
    """A pipeline's two forwards a step: with the prompt and without."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.transformer = model

    def forward(self, steps: int) -> None:
        """Denoise."""
        x = torch.randn(1, 4, 8)
        for step in range(steps):
            for prompt in (torch.zeros(3), torch.ones(3)):
                noise = self.transformer(x, torch.tensor(float(step)), prompt=prompt)
            x = x + noise


def test_guidance_in_two_forwards_is_one_step(model: nn.Module, tmp_path: Path) -> None:
    """The same latents at the same time; activations of the second have names of their own."""
    with capture(model, tmp_path / "T", activations=["hidden"]):
        Guided(model)(3)

    trace = Trace.open(tmp_path / "T")

    assert trace.run.steps == 3
    assert trace.kept() == ("hidden", "hidden.2")
    both = [trace.activations(name).shape for name in trace.kept()]
    assert both == [(1, 3, 3, 1, 4, 8)] * 2


def test_steps_can_be_marked_by_hand(model: nn.Module, tmp_path: Path) -> None:
    """Then nothing else counts."""
    x = torch.randn(1, 4, 8)
    with capture(model, tmp_path / "T") as recording:
        for step in range(2):
            recording.step()
            for part in range(3):
                model(x + part, torch.tensor(float(step)))
    assert Trace.open(tmp_path / "T").run.steps == 2


class Scheduler:
    """Takes the latents a step on."""

    def step(self, noise: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """As diffusers' do."""
        return x + noise


class Pipeline:
    """Two forwards a step, of latents that are copied for each: only the scheduler tells."""

    def __init__(self, model: nn.Module) -> None:
        self.transformer = model
        self.scheduler = Scheduler()

    def __call__(self, steps: int) -> None:
        """Denoise."""
        x = torch.randn(1, 4, 8)
        for step in range(steps):
            for _ in range(2):
                noise = self.transformer(x.clone(), torch.tensor(float(step)))
            x = self.scheduler.step(noise, x)


def test_a_pipelines_scheduler_tells_when_a_step_is_done(model: nn.Module, tmp_path: Path) -> None:
    """And gets its own `step` back."""
    pipeline = Pipeline(model)
    with capture(pipeline, tmp_path / "T"):
        pipeline(steps=3)

    assert "step" not in vars(pipeline.scheduler)
    ops = Trace.open(tmp_path / "T").ops
    forwards = (ops["name"] == "blocks.attn").groupby(ops["step"]).sum() // 3
    assert forwards.tolist() == [2, 2, 2]


def test_activations_are_kept_under_their_names(model: nn.Module, tmp_path: Path) -> None:
    """Whole tensors by default, as the model computed them."""
    given = []
    handle = model.blocks[1].attn.to_k.register_forward_hook(  # type: ignore[union-attr, index]
        lambda *call: given.append(call[2])
    )
    with capture(model, tmp_path / "T", activations=["k", "v", "hidden"]):
        denoise(model, steps=2)
    handle.remove()

    trace = Trace.open(tmp_path / "T")

    assert trace.kept() == ("hidden", "k", "v")
    k = trace.activations("k").isel(rank=0).sel(step=1, layer=1).to_numpy()
    assert (k == given[1].detach().numpy()).all()


def test_activations_can_be_reduced(model: nn.Module, tmp_path: Path) -> None:
    """By an object that says how; no whole tensor is on disk then."""
    with capture(model, tmp_path / "T", activations=Sketched(("hidden",))):
        denoise(model, steps=2)

    assert Trace.open(tmp_path / "T").kept() == ()
    assert list((tmp_path / "T" / "rank-0").glob("reduced-*"))


class Router(nn.Module):
    """Gives its choices, their weights and no loss."""

    def forward(self, x: torch.Tensor) -> Any:
        """Which of the channels is largest, and how much of all it is."""
        scores, chosen = x.softmax(-1).max(-1)
        return chosen, scores, None


class Expert(nn.Module):
    """A block with a router."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Router()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled by what the router says."""
        _, scores, _ = self.gate(x)
        out: torch.Tensor = x * scores.unsqueeze(-1)
        return out


class Experts(nn.Module):
    """Two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Expert() for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One after the other."""
        for block in self.blocks:
            x = block(x)
        return x


def test_a_routers_choices_and_scores_are_kept(tmp_path: Path) -> None:
    """Told apart by their types, whatever else it gives."""
    model = Experts()
    x = torch.randn(1, 4, 8)
    with capture(model, tmp_path / "T", activations=["chosen", "scores"]):
        model(x)

    trace = Trace.open(tmp_path / "T")
    chosen = trace.activations("chosen").sel(layer=0).to_numpy()[0, 0]
    assert (chosen == x.argmax(-1).numpy()).all()
    assert trace.activations("scores").shape == (1, 1, 2, 1, 4)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["keys"], "unknown activation 'keys': there are k: keys"), (["scores"], "no block of the")],
)
def test_activations_that_there_are_not_are_refused(
    model: nn.Module, tmp_path: Path, names: list[str], message: str
) -> None:
    """Before anything is written or hooked."""
    with (
        pytest.raises(InputError, match=message),
        capture(model, tmp_path / "T", activations=names),
    ):
        pass
    assert not (tmp_path / "T").exists()
    assert hooks(model) == 0


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    """With what would be one."""
    with (
        pytest.raises(InputError, match="Scheduler: is no torch module, and no pipeline"),
        capture(Scheduler(), tmp_path / "T"),
    ):
        pass


def test_a_block_that_a_cache_skips_says_so(model: nn.Module, tmp_path: Path) -> None:
    """As FirstBlockCache does: the block is called, its attention is not."""
    block = model.blocks[1]  # type: ignore[index]
    with capture(model, tmp_path / "T"):
        denoise(model, steps=1)
        block.forward = lambda x: x  # type: ignore[union-attr]
        denoise(model, steps=1)

    ops = Trace.open(tmp_path / "T").ops
    names = [ops[(ops["step"] == step) & (ops["layer"] == 1)]["name"].tolist() for step in (0, 1)]
    assert names == [["blocks", "blocks.attn", "blocks"], ["blocks (skipped)"]]


@pytest.mark.slow
def test_a_model_compiled_as_a_whole_is_seen_from_outside(
    model: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its hooks inside would not be called; this is said."""
    compiled = torch.compile(model, backend="eager")
    with capture(compiled, tmp_path / "T"):
        denoise(compiled, steps=2)  # type: ignore[arg-type]

    assert "OptimizedModule is compiled as a whole" in capsys.readouterr().err
    assert Trace.open(tmp_path / "T").ops["name"].tolist() == ["OptimizedModule"] * 2


@pytest.mark.slow
def test_blocks_that_are_compiled_one_by_one_are_seen(model: nn.Module, tmp_path: Path) -> None:
    """From outside, and as they were afterwards."""
    for block in model.blocks:  # type: ignore[union-attr]
        block.compile(backend="eager")
    calls = [block._compiled_call_impl for block in model.blocks]  # type: ignore[union-attr]
    with capture(model, tmp_path / "T"):
        denoise(model, steps=1)

    ops = Trace.open(tmp_path / "T").ops
    assert ops[ops["layer"] >= 0]["name"].tolist() == ["blocks"] * 3
    assert [b._compiled_call_impl for b in model.blocks] == calls  # type: ignore[union-attr]


def test_one_line_says_what_to_do_next(
    model: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, as stdout is the program's."""
    with capture(model, tmp_path / "T"):
        denoise(model)
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"thinwire: recorded 2 steps in {tmp_path / 'T'}; now: thinwire show")
