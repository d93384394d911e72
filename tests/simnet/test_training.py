"""Training of the small models: interrupted and gone on with, and what is refused."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from simnet.cli import BAD_INPUT, OK, call
from simnet.models.pixels import images_of, tokens_of
from simnet.models.presets import preset
from simnet.training.subjects import Denoising, Request

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in the form of Fashion-MNIST."""
    folder = tmp_path_factory.mktemp("data")
    generator = torch.Generator().manual_seed(0)
    for part in ("train", "t10k"):
        images = torch.randint(256, (80, 28, 28), generator=generator, dtype=torch.uint8)
        labels = torch.arange(80, dtype=torch.uint8) % 10
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            content = header + bytes(array.flatten().tolist())
            (folder / f"{part}-{what}-ubyte.gz").write_bytes(gzip.compress(content))
    return folder


def train(data: Path, out: Path, *options: str) -> int:
    """The command, for a model with experts."""
    arguments = ["train", "--model", "dit-moe-tiny", "--data", str(data), "--out", str(out)]
    return call([*arguments, "--threads", "1", *options])


def test_an_interruption_changes_nothing(data: Path, tmp_path: Path) -> None:
    """Two batches, a checkpoint and two more are four in a row, to the bit; the folder is made."""
    at_once, in_two = tmp_path / "new" / "a.safetensors", tmp_path / "b.safetensors"
    assert train(data, at_once, "--pictures", "256") == OK
    begun = Denoising("dit-moe-tiny", Request(data, in_two, 256))
    for progress in begun.learn():
        if progress.batch == 2:
            break
    begun.save()
    assert train(data, in_two, "--pictures", "256") == OK
    whole, resumed = load_file(at_once), load_file(in_two)
    assert all(weight.dtype == torch.float16 for weight in whole.values())
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert train(data, in_two, "--pictures", "64") == BAD_INPUT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", "0"), "--threads is 0"),
        (("--pictures", "0"), "pictures is 0"),
        (("--seed", "-1"), "seed is -1"),
        (("--data", "nowhere"), "not there; install"),
        (("--out", "x.checkpoint"), "a checkpoint's name"),
    ],
)
def test_what_will_not_do_is_refused(
    options: tuple[str, str],
    message: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is made."""
    given = {"--model": "dit-moe-tiny", "--data": str(data), "--out": str(tmp_path / "x")}
    given |= dict([options])
    assert call(["train", *(text for option in given.items() for text in option)]) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_seed_does_not_go_on_with_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does a file that is no checkpoint."""
    out = tmp_path / "x.safetensors"
    assert train(data, out, "--pictures", "64") == OK
    assert train(data, out, "--pictures", "64", "--seed", "7") == BAD_INPUT
    assert "give the same seed" in capsys.readouterr().err
    out.with_suffix(".checkpoint").write_bytes(b"no checkpoint")
    assert train(data, out, "--pictures", "64") == BAD_INPUT
    assert "no checkpoint of dit-moe-tiny" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [b"", b"no gzip", gzip.compress(b"short", mtime=0)])
def test_damaged_data_is_named(
    damage: bytes, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its file."""
    folder = tmp_path / "data"
    folder.mkdir()
    for path in data.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(damage)
    assert train(folder, tmp_path / "x.safetensors", "--pictures", "64") == BAD_INPUT
    assert "train-labels-idx1-ubyte.gz" in capsys.readouterr().err


def test_pictures_and_their_tokens_are_the_same() -> None:
    """There and back, to the byte."""
    shape = preset("dit-fashion")
    images = torch.randint(256, (3, 28, 28), dtype=torch.uint8)
    tokens = tokens_of(images, shape)
    assert tokens.shape == (3, shape.tokens, shape.channels)
    assert torch.equal(images_of(tokens, shape, (28, 28)), images)
