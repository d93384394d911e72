"""Results are kept: nothing is computed twice, whatever happens to the sweep or to its files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from simnet.cli import OK, call
from simnet.network.collectives.selection import GLOO
from simnet.network.topology import Links
from simnet.sweep.content import APART, digest, sources
from simnet.sweep.design import SETTING, Design
from simnet.sweep.reading import read
from simnet.sweep.store import REFUSED, ROW, VECTORISED, Found, Points, distinct, joined

Sweeping = Callable[..., dict[str, Any]]

AXES = """
[axes]
models = "dit-nano"
schedules = ["ring", "patch", "tensor"]
codecs = ["none", "residual-1bit"]
ranks = 2
steps = 2
gpus = "l20"
bandwidths = { from = "100Mbit/s", to = "100Gbit/s", points = 5 }
"""

ANNOUNCING = """
import sys
from pathlib import Path
from simnet.sweep.design import Design
from simnet.sweep.reading import read
from simnet.sweep.running import Runner
from simnet.sweep.store import Store
from simnet.sweep.workers import Local

if __name__ == "__main__":
    design, store = Design(read(Path(sys.argv[1]))), Store(Path(sys.argv[2]), print)
    Runner(design, store, Local(int(sys.argv[3])), lambda done: print(done, flush=True)).run()
"""


def files(folder: Path) -> dict[str, bytes]:
    """What is in each."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_second_sweep_computes_nothing_and_gives_the_same_bytes(
    sweeping: Sweeping, tmp_path: Path
) -> None:
    """Points that cannot run included."""
    first = sweeping(AXES, "--out", str(tmp_path / "first"))
    again = sweeping(AXES, "--out", str(tmp_path / "again"))

    assert (first["points"], first["computed"], first["reused"]) == (30, 30, 0)
    assert (again["points"], again["computed"], again["reused"]) == (30, 0, 30)
    assert files(tmp_path / "first") == files(tmp_path / "again")


def test_an_extended_sweep_computes_what_is_new(sweeping: Sweeping, tmp_path: Path) -> None:
    """Other bandwidths, another schedule; and the result is that of a sweep from nothing."""
    sweeping(AXES)
    ends = 'bandwidths = ["100Mbit/s", "3Gbit/s", "100Gbit/s"]'
    more = AXES.replace(AXES.splitlines()[-1], ends).replace('"tensor"', '"ulysses"')
    extended = sweeping(more, "--out", str(tmp_path / "extended"))

    # Of ring and patch, with and without the codec: one bandwidth each. Of ulysses: all.
    assert (extended["computed"], extended["reused"]) == (4 * 1 + 2 * 3, 4 * 2)

    sweeping(more, "--out", str(tmp_path / "fresh"), into=tmp_path / "other")
    assert files(tmp_path / "extended") == files(tmp_path / "fresh")


def test_what_two_cases_share_is_computed_once(sweeping: Sweeping) -> None:
    """A warm-up that a schedule does not have makes no difference to it."""
    done = sweeping(AXES.replace('"tensor"', '"distrifusion"') + "warmups = [1, 2]\n")

    assert done["points"] == 60
    assert (done["computed"], done["equal"]) == (40, 20)


def test_seeds_make_a_difference_only_where_something_is_random(sweeping: Sweeping) -> None:
    """Elsewhere a point is the same for all of them."""
    still = sweeping(AXES + "seeds = [0, 1, 2]\n")
    assert (still["computed"], still["equal"]) == (30, 60)

    jittery = AXES.replace('["ring", "patch", "tensor"]', '"ring"') + 'jitters = "1ms"\n'
    moved = sweeping(jittery + "seeds = [0, 1, 2]\n")
    assert (moved["computed"], moved["equal"]) == (30, 0)
    assert moved["evaluators"] == {"vectorised": 0, "discrete-event": 30}


@pytest.mark.parametrize("harm", ["cut", "changed", "emptied", "overwritten"])
def test_a_damaged_file_is_found_and_computed_again(
    harm: str,
    sweeping: Sweeping,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a warning, and nothing else is."""
    sweeping(AXES, "--out", str(tmp_path / "first"))
    victim = max(cache.rglob("*.points"))
    content = victim.read_bytes()
    middle = len(content) // 2
    harmed = {
        "cut": content[:-1],
        "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "emptied": b"",
        "overwritten": bytes(range(256)),
    }[harm]
    victim.write_bytes(harmed)
    path = tmp_path / "small.toml"
    assert call(["sweep", str(path), "--cache", str(cache), "--out", str(tmp_path / "b")]) == OK

    said = capsys.readouterr()
    assert "points: computed 5, reused 25" in said.out
    assert "is damaged" in said.err.replace("\n", " ")
    assert files(tmp_path / "first") == files(tmp_path / "b")


def test_damaged_facts_are_worked_out_again(sweeping: Sweeping, cache: Path) -> None:
    """And the points of that case with them."""
    sweeping(AXES)
    for path in cache.rglob("facts.json"):
        path.write_text('{"fits": true}')

    assert sweeping(AXES)["computed"] == 30
    assert sweeping(AXES)["computed"] == 0


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_where_it_was(sweeping: Sweeping, tmp_path: Path) -> None:
    """Nothing that it had announced is computed again, and its processes end."""
    text = AXES.replace('["ring", "patch", "tensor"]', '"ring"') + 'jitters = "1ms"\n'
    text += f"seeds = {list(range(8))}\n"
    path, cache = tmp_path / "long.toml", tmp_path / "killed"
    path.write_text(text)
    script = tmp_path / "announcing.py"
    script.write_text(ANNOUNCING)
    command = [sys.executable, str(script), str(path), str(cache), "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        announced = sum(int(process.stdout.readline()) for _ in range(4))
        process.kill()
    done = sweeping(text, "--out", str(tmp_path / "resumed"), into=cache)

    assert 0 < announced <= done["reused"] < done["points"]
    assert done["computed"] + done["reused"] == done["points"] == 80
    sweeping(text, "--out", str(tmp_path / "whole"), into=tmp_path / "other")
    assert files(tmp_path / "resumed") == files(tmp_path / "whole")


@pytest.mark.slow
def test_a_sweep_on_several_processes_can_be_killed_too(tmp_path: Path, sweeping: Sweeping) -> None:
    """Its processes end by themselves soon after."""
    text = AXES.replace('["ring", "patch", "tensor"]', '"ring"') + 'jitters = "1ms"\n'
    text += f"seeds = {list(range(16))}\n"
    path, cache = tmp_path / "long.toml", tmp_path / "killed"
    path.write_text(text)
    script = tmp_path / "announcing.py"
    script.write_text(ANNOUNCING)
    command = [sys.executable, str(script), str(path), str(cache), "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        announced = sum(int(process.stdout.readline()) for _ in range(4))
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)

    assert children
    assert not alive
    assert sweeping(text, into=cache)["reused"] >= announced > 0


@pytest.mark.slow
def test_two_sweeps_may_share_a_cache_at_the_same_time(tmp_path: Path) -> None:
    """Both end, and what they leave is whole."""
    path, cache = tmp_path / "both.toml", tmp_path / "shared"
    path.write_text(AXES)
    command = [sys.executable, "-m", "simnet", "sweep", str(path), "--cache", str(cache)]
    command += ["--jobs", "1"]
    both = [subprocess.Popen(command, stdout=-1, stderr=-1) for _ in range(2)]
    said = [process.communicate() for process in both]
    # In a process of its own too, for one that began before a source was changed has other keys.
    after = subprocess.run(command, capture_output=True, check=True)

    assert [process.returncode for process in both] == [OK, OK]
    assert [err for _, err in said] == [b"", b""]
    tables = [[line for line in out.splitlines() if b"bit/s" in line] for out, _ in said]
    assert tables[0] == tables[1] != []
    assert b"computed 0, reused 30" in after.stdout


def test_the_default_cache_is_where_the_system_keeps_such_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG_CACHE_HOME where it is set, otherwise .cache at home."""
    path = tmp_path / "small.toml"
    path.write_text(AXES)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert call(["sweep", str(path), "--jobs", "1"]) == OK
    assert list((tmp_path / "xdg" / "thinwire" / "sweeps").rglob("*.points"))

    monkeypatch.delenv("XDG_CACHE_HOME")
    assert call(["sweep", str(path), "--jobs", "1"]) == OK
    assert list((tmp_path / "home" / ".cache" / "thinwire" / "sweeps").rglob("*.points"))


def test_a_key_is_of_the_content_and_of_nothing_else(tmp_path: Path) -> None:
    """Equal content, equal key; whatever changes a prediction changes it."""
    path = tmp_path / "small.toml"
    path.write_text(AXES)
    (case, again), *_ = zip(
        *(([group.case for group in Design(read(path)).groups()]) for _ in range(2)), strict=True
    )
    assert case.key == again.key
    others = [
        replace(case, model="dit-tiny"),
        replace(case, schedule="patch"),
        replace(case, ranks=4),
        replace(case, steps=3),
        replace(case, dtype="float32"),
        replace(case, batch=2),
        replace(case, processor=case.processor._replace(digest="l40")),
    ]
    assert len({case.key, *(other.key for other in others)}) == 8


def test_keys_are_of_all_sources_that_a_prediction_may_use() -> None:
    """None of those imports, anywhere in it, anything that keys leave out."""
    used = list(sources())
    assert {"case.py", "engine.py", "summary.py"} <= {path.name for path in used}
    for path in used:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        names += [
            name.name for node in nodes if isinstance(node, ast.Import) for name in node.names
        ]
        ours = [name.split(".") for name in names if name.split(".")[0] in ("simnet", "traces")]
        assert not [name for name in ours if {*name[1:2], f"{name[-1]}.py"} & APART], path


def test_digests_of_networks_follow_their_numbers() -> None:
    """Rate, latency, algorithms; not where the numbers are from."""
    link = Links("a", 1e9, 5e-5)
    assert digest(link) == digest(replace(link, source={"rate": "measured"}))
    changed = [replace(link, rate_bps=1e9 + 1), replace(link, latency_s=6e-5)]
    changed += [replace(link, collectives=GLOO), replace(link, cap_bps=1e8)]
    assert len({digest(each) for each in [link, *changed]}) == 5


def rows(*bandwidths: float, evaluator: int = VECTORISED) -> Points:
    """Of these bandwidths, each of which takes as many seconds as it has bits."""
    made = np.zeros(len(bandwidths), ROW)
    made["bandwidth_bps"] = made["total_s"] = bandwidths
    made["evaluator"], made["reason"] = evaluator, -1
    return Points(made)


def settings(*bandwidths: float) -> Any:
    """Of these bandwidths."""
    made = np.zeros(len(bandwidths), SETTING)
    made["bandwidth_bps"] = bandwidths
    return made


def test_points_are_found_by_setting_to_the_bit() -> None:
    """A network's own rate, NaN, is like itself; rates a bit apart are two."""
    found = Found(joined([rows(3.0, 1.0), rows(np.nan, 2.0)]))
    there, those = found(settings(1.0, np.nextafter(1.0, 2), np.nan, 2.0, -0.0))

    assert there.tolist() == [True, False, True, True, False]
    assert those["total_s"][[0, 3]].tolist() == [1.0, 2.0]


def test_a_result_goes_before_a_refusal() -> None:
    """Whichever was kept first."""
    refused, done = rows(1.0, evaluator=REFUSED), rows(1.0)
    for order in ([refused, done], [done, refused]):
        _, (row,) = Found(joined(order))(settings(1.0))
        assert row["evaluator"] == VECTORISED


def test_each_setting_is_taken_once_and_in_order() -> None:
    """Of a list with repetitions."""
    assert distinct(settings(3, 1, 3, 2, 1))["bandwidth_bps"].tolist() == [3, 1, 2]


def test_reasons_of_several_files_are_numbered_anew() -> None:
    """Each row keeps its own, and each text is there once."""
    one, two = rows(1.0, 2.0), rows(3.0, 4.0)
    one.rows["reason"], two.rows["reason"] = [0, -1], [1, 0]
    both = joined([one._replace(reasons=("a",)), two._replace(reasons=("b", "a"))])

    told = [both.reasons[n] if n >= 0 else "" for n in both.rows["reason"]]
    assert told == ["a", "", "a", "b"]
    assert both.reasons == ("a", "b")
