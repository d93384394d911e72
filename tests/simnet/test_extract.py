"""A program run without data, as every rank in turn, says what it would compute and send."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from simnet.cli import BAD_INPUT, OK, call
from simnet.costs import Free, Roofline
from simnet.devices import device
from simnet.drivers.replay import replay
from simnet.extract.noted import Exchange, Part, Pause, Stretch
from simnet.extract.recording import recording
from simnet.extract.script import Script
from simnet.extract.team import forwards
from simnet.extract.volume import volumes
from simnet.network.topology import Links
from traces.errors import InputError
from traces.summary import summarize
from traces.trace import Trace

LIVE = Path(__file__).parent / "live"
PROGRAMS = LIVE / "programs.py"


def program(name: str) -> Script:
    """One of live/programs.py."""
    return Script(f"{PROGRAMS}:{name}")


def kinds(part: Part) -> list[str]:
    """What a rank asks for, in order."""
    return [exchange.kind for exchange in part.exchanges]


def test_layers_computes_and_exchanges_come_in_the_order_of_the_program() -> None:
    """What is asked for is waited for where the program waits, not before."""
    part = forwards(program("layers"), 2)[0]
    layer = [("Linear.0", 0), ("all_reduce.0", -1), ("Layers.0", -1), ("all_reduce.0", -1)]
    assert [(each.name, each.layer) for each in part.noted[:4]] == layer
    assert [type(each) for each in part.noted[:4]] == [Stretch, Exchange, Stretch, Pause]
    assert [each.layer for each in part.noted if each.name == "Linear.0"] == [0, 1, 2]
    assert part.flop == 3 * 2 * 4 * 64 * 64
    assert part.dtype == "float32"


def test_the_trace_is_one_that_the_simulated_driver_would_leave(tmp_path: Path) -> None:
    """It can be saved, checked, replayed on a network, and times add up."""
    subject = program("layers")
    trace = recording(subject, forwards(subject, 4), Roofline(device("l20")), steps=3)
    assert (trace.run.driver, trace.run.evidence) == ("extracted", "predicted")
    trace.save(tmp_path / "T")
    opened = Trace.open(tmp_path / "T")
    assert opened.problems == ()
    assert opened.ops.groupby(["rank", "step"]).size().unique().tolist() == [15]
    alone, slow = summarize(opened), summarize(replay(opened, Links("slow", 1e8)))
    assert alone.exposed_s == 0
    assert slow.compute_s == pytest.approx(alone.total_s)
    # Each of the 9 all-reduces sends 2 x 3/4 of a kilobyte; 2 x is computed meanwhile.
    busy_s = 9 * 8 * 1.5 * 1024 / 1e8
    assert alone.total_s < slow.total_s <= alone.total_s + busy_s
    assert slow.hidden_s > 0


def test_without_a_device_computing_takes_no_time() -> None:
    """Only what is sent is known then."""
    subject = program("layers")
    trace = recording(subject, forwards(subject, 2), Free(), steps=1)
    assert trace.run.device == "free"
    assert summarize(trace).total_s == 0
    assert summarize(trace).wire_bytes == 2 * 3 * 1024


def test_ranks_that_differ_are_each_run() -> None:
    """The first stage of a pipeline only sends, the last only receives."""
    parts = forwards(program("stages"), 3)
    assert list(map(kinds, parts)) == [["send"], ["recv", "send"], ["recv"]]
    assert [part.flop for part in parts] == [2 * 16 * 16 * wide for wide in (1, 2, 3)]
    trace = recording(program("stages"), parts, Free(), steps=2)
    total_s = summarize(replay(trace, Links("slow", 8.0))).total_s
    assert total_s >= 2 * 64  # two messages, one after the other, of 64 bytes at a byte a second


LIVE_ALIKE = ["layers", "everything", "flux_ulysses"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What two gloo processes ask for and compute in each of these programs, by rank."""
    there = LIVE_ALIKE if find_spec("diffusers") else LIVE_ALIKE[:-1]
    out = tmp_path_factory.mktemp("live")
    command = [sys.executable, str(LIVE / "watched.py"), str(out), *there]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]
    return {name: [rank[name] for rank in ranks] for name in there}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVE_ALIKE)
def test_what_is_extracted_is_what_live_ranks_ask_for(
    name: str, live: dict[str, list[Any]]
) -> None:
    """Two gloo processes of the same program: the same exchanges, sizes and arithmetic."""
    if name not in live:
        pytest.skip("needs diffusers, which is optional")
    parts = forwards(program(name), 2)
    assert [[_plain(part), part.flop] for part in parts] == live[name]


def _plain(part: Part) -> Any:
    asked = [
        (each.kind, each.group.ranks, each.shape, each.dtype, each.nbytes, each.sends, each.takes)
        for each in part.exchanges
    ]
    return json.loads(json.dumps(asked))


def test_communicators_of_the_same_ranks_are_told_apart() -> None:
    """The second that was made has a number, on all ranks the same."""
    parts = forwards(program("everything"), 2)
    for part in parts:
        assert {each.group.name for each in part.exchanges} == {
            "world",
            "world (2)",
            "world (3)",
        }
    volume = volumes(parts)[0]
    sent = {each.kind: each for each in volume.sent}
    assert sent["all_gather"].calls == 3
    assert sent["all_to_all"].bytes == 2 * 128
    assert sent["all_to_all"].wire_bytes == 64  # half of one; all of the other is its own
    assert sent["barrier"].bytes == 0


def test_four_ranks_of_which_two_talk_apart() -> None:
    """What a rank is no member of, it does not ask for; the ranks still fit together."""
    subject = program("everything")
    parts = forwards(subject, 4)
    assert [kinds(part).count("all_reduce") for part in parts] == [1, 1, 0, 0]
    trace = recording(subject, parts, Free(), steps=1)
    assert set(trace.ops["group"]) == {"", "0,1", "0,1,2,3"}
    assert set(trace.ops.loc[trace.ops["group"] == "0,1", "stream"]) == {"ranks 0,1"}


def test_nothing_is_left_of_the_ranks_that_it_was() -> None:
    """Neither after a forward nor after one that fails."""
    counted, works = torch.accelerator.device_count, torch._C._distributed_c10d.FakeWork.wait
    forwards(program("layers"), 2)
    with pytest.raises(InputError):
        forwards(program("breaks"), 2)
    assert not dist.is_initialized()
    assert torch.accelerator.device_count is counted
    assert torch._C._distributed_c10d.FakeWork.wait is works


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("looks", r"it looks at the values of tensors \(aten._local_scalar_dense.default\)"),
        ("breaks", r"programs.py:breaks \(its own\): its forward fails without data"),
        ("cannot_be_made", 'cannot be made without data: .*device="cpu"'),
        ("alone", "returns Linear, expected a module and its inputs"),
        ("layer", "unknown function of .*: did you mean 'layers'"),
    ],
)
def test_programs_that_cannot_be_extracted_are_told_why(name: str, complaint: str) -> None:
    """In words, not in a traceback from the depths."""
    with pytest.raises(InputError, match=complaint):
        forwards(program(name), 2)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "extract what? give --model NAME, or FILE.py:FUNCTION"),
        (["none:f"], "none:f: expected FILE.py:FUNCTION"),
        (["none.py:f"], "none.py:f: there is no file none.py"),
        (["--model", "flux", "--dtype", "int64"], "unknown dtype 'int64'"),
        (["--model", "flux:layers=2"], 'set both, as in "layers=4:single=2"'),
        ([f"{PROGRAMS}:layers", "--parallel", "ring=2"], "--parallel and --dtype go with --model"),
        ([f"{PROGRAMS}:layers", "--ranks", "0"], "0 ranks and 1 steps, expected 1 or more"),
        (["--model", "flux", "--ranks", "4"], "give for example --parallel ulysses=4"),
        (["--model", "flux", "--parallel", "rung=4"], "did you mean 'ring'"),
        (["--model", "flux", "--parallel", "ring=x"], "write for example ulysses=8"),
        (["--model", "fluks"], "unknown model of diffusers 'fluks'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what would do."""
    assert call(["extract", *arguments]) == BAD_INPUT
    assert complaint in capsys.readouterr().err


def test_the_command_prints_volumes_and_writes_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON and for people; an existing trace is not replaced unless asked."""
    out = tmp_path / "T"
    arguments = ["extract", f"{PROGRAMS}:layers", "--ranks", "2", "--steps", "2", "--gpu", "l20"]
    assert call([*arguments, "--out", str(out), "--json"]) == OK
    printed = json.loads(capsys.readouterr().out)
    assert printed["model"] == "programs.py:layers"
    assert printed["evidence"] == "predicted"
    assert printed["compute_s"] > 0
    [each, _] = printed["forward"]
    assert each["flop"] == 3 * 2 * 4 * 64 * 64
    assert each["transfers"] == [
        {"kind": "all_reduce", "members": 2, "calls": 3, "bytes": 3072, "wire_bytes": 3072}
    ]
    assert call([*arguments, "--out", str(out)]) == BAD_INPUT
    assert call([*arguments, "--out", str(out), "--overwrite"]) == OK
    text = capsys.readouterr().out
    assert "the trace has this forward 2 times, with computes of l20 (roofline)" in text
    assert call(["extract", f"{PROGRAMS}:layers"]) == OK
    assert "forward once; its computes take no time" in capsys.readouterr().out
    assert Trace.open(out).run.steps == 2
