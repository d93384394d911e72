"""The catalogue of analyses, and the command that does all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from analysis.catalogue import (
    OF_COMPARABLE,
    OF_SENT,
    OF_TENSORS,
    OF_TRACES,
    Analysis,
    Kept,
    analyses,
)
from analysis.result_files import write
from simnet.cli import BAD_INPUT, OK, call
from traces.trace import Trace

Array = NDArray[np.float32]
Record = Callable[..., Trace]
pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*place: int, shape: tuple[int, ...] = (1, 8, 12)) -> Array:
    """Independent Gaussian numbers, others for each place."""
    return np.random.default_rng(place).standard_normal(shape, np.float32)


def everything(rank: int, step: int) -> dict[str, Array]:
    """Of all kinds of tensors."""
    kv = drawn(rank, step, shape=(2, 1, 2, 8, 6))
    scores = drawn(rank, step, shape=(8, 4))
    return {"hidden/0": drawn(rank, step), "kv/0": kv, "scores/0": scores,
            "chosen/0": scores.argsort(axis=1)[:, :2].astype(np.float32)}  # fmt: skip


ENTRIES = [*OF_TRACES, *OF_COMPARABLE, *OF_TENSORS, *OF_SENT]


@pytest.mark.parametrize("each", ENTRIES, ids=lambda each: each.name)
def test_every_entry_leads_to_a_function_that_says_what_it_does(each: Analysis) -> None:
    """Its name is that of a file, and its sentence says something."""
    module, _, name = each.where.partition(":")
    assert getattr(import_module(module), name).__doc__
    assert each.name == each.name.lower()
    assert not set(each.name) & set(" /_")
    assert len(each.about.split()) > 3


def test_tensors_are_analysed_each_by_itself(record: Record) -> None:
    """Keys and values apart; choices of experts are compared, and not compressed."""
    names = {each.name for each in analyses(record(everything))}
    assert {"redundancy-k", "redundancy-v", "redundancy-chosen", "spectra-hidden"} <= names
    assert not {"redundancy-kv", "redundancy", "spectra-chosen", "codecs-scores"} & names


def test_a_need_says_what_is_missing_and_how_to_have_it(record: Record) -> None:
    """Nothing kept, not this one, and too few steps."""
    empty, one = record(lambda *_: {}), record(everything, steps=1)
    assert Kept().missing(record(everything)) == ""
    assert "--keep kv,hidden" in Kept().missing(empty)
    assert "latent was not kept" in Kept(("latent",)).missing(one)
    assert Kept().missing(one) == "needs 2 steps or more: there are 1"


def test_analyse_writes_what_its_index_names(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arrays that xarray opens as they were, with units; nothing is left of an earlier analysis."""
    folders = [str(record(everything, steps=3).folder) for _ in range(2)]
    out = tmp_path / "out"
    assert call(["analyse", folders[0], "--beside", folders[1], "--out", str(out)]) == OK
    assert "step to step cosine" in capsys.readouterr().out
    index = json.loads((out / "index.json").read_text())
    files = {entry["file"] for entry in index["results"]}
    assert files == {path.name for path in out.iterdir()} - {"index.json"}
    assert {"redundancy-hidden.nc", "codecs-k.nc", "trajectories-v.nc"} <= files
    for entry in index["results"]:
        if entry["file"].endswith(".nc"):
            with xr.open_dataset(out / entry["file"]) as opened:
                assert dict(opened.sizes) == entry["dims"]
    with xr.open_dataset(out / "redundancy-hidden.nc") as opened:
        assert (opened["cosine"].sel(layer=0)[0, 0]) == 1
        assert opened["residual_norm"].attrs["units"] == "units of the activation"
        assert opened.attrs["evidence"] == "measured"
    with xr.open_dataset(out / "trajectories-v.nc") as opened:
        assert [str(label) for label in opened["trace"].to_numpy()] == ["trace-0", "trace-1"]
        assert (opened["relative_deviation"] == 0).all()
    before = {name: (out / name).read_bytes() for name in files}
    (out / "mine.txt").write_text("stays")
    assert call(["analyse", folders[0], "--out", str(out)]) == OK
    left = {path.name for path in out.iterdir()}
    assert left == {name for name in files if "trajectories" not in name} | {
        "index.json",
        "mine.txt",
    }
    assert all((out / name).read_bytes() == before[name] for name in left & files)


def test_analyse_names_what_does_not_apply(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason, in the index and in print."""
    folder = record(lambda *_: {}).folder
    assert call(["analyse", str(folder), "--out", str(tmp_path / "out"), "--json"]) == OK
    index = json.loads(capsys.readouterr().out)
    absent = {entry["name"]: entry["why"] for entry in index["absent"]}
    assert "--keep" in absent["redundancy"]
    assert call(["analyse", str(folder), "--out", str(tmp_path / "out")]) == OK
    assert "--keep" in capsys.readouterr().out


def test_analyse_refuses_places_that_are_not_its_own(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder inside the trace, one with somebody's index, a file, and two traces of one name."""
    folder = record(everything).folder
    assert folder is not None
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.json").write_text("[]")
    (tmp_path / "file").write_text("")
    for out in (folder / "out", theirs, tmp_path / "file"):
        assert call(["analyse", str(folder), "--out", str(out)]) == BAD_INPUT
        assert str(out) in capsys.readouterr().err
    again = ["--beside", str(folder), "--out", str(tmp_path / "out")]
    assert call(["analyse", str(folder), *again]) == BAD_INPUT
    assert "two of the traces" in capsys.readouterr().err


def test_tables_are_written_with_the_index_they_have(tmp_path: Path) -> None:
    """Named levels are columns; a mere count is left out."""
    table = pd.DataFrame({"layer": [0, 1], "load": [0.5, 1.5]})
    assert write(table, tmp_path, "plain")["variables"] == ["layer", "load"]
    assert (tmp_path / "plain.csv").read_text() == "layer,load\n0,0.5\n1,1.5\n"
    entry = write(table.set_index("layer"), tmp_path, "indexed")
    assert entry["variables"] == ["layer", "load"]
    assert (tmp_path / "indexed.csv").read_text() == (tmp_path / "plain.csv").read_text()
