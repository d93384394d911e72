"""A file is replaced whole, and nothing but a file is ever replaced."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from traces.errors import InputError, RunError
from traces.files import replacing, writing


def write(path: Path, text: str) -> None:
    """Replace a file by this text."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_file_is_replaced_or_left_alone(tmp_path: Path) -> None:
    """What fails half-way leaves the old file, and nothing beside it."""
    path = tmp_path / "file"
    write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write(path, "new" * 10_000 + "\ud800")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
@pytest.mark.parametrize("linked", [True, False])
def test_what_is_no_file_is_not_replaced(
    tmp_path: Path, make: Callable[[Path], None], *, linked: bool
) -> None:
    """A pipe stands for the devices; a link to one is as bad."""
    special, link = tmp_path / "special", tmp_path / "link"
    make(special)
    link.symlink_to(special)
    before = special.lstat()

    with pytest.raises(InputError, match=r"is there and no ordinary file .*; choose another name"):
        write(link if linked else special, "new")

    assert stat.S_IFMT(special.lstat().st_mode) == stat.S_IFMT(before.st_mode)
    assert set(tmp_path.iterdir()) == {special, link}
    assert link.is_symlink()


@pytest.mark.parametrize("target", ["file", "nowhere"])
def test_a_link_is_replaced_by_the_file(tmp_path: Path, target: str) -> None:
    """What it led to stays as it is."""
    (tmp_path / "file").write_text("old")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / target)

    write(link, "new")

    assert not link.is_symlink()
    assert link.read_text() == "new"
    assert (tmp_path / "file").read_text() == "old"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("length", [253, 300])
def test_a_name_that_is_too_long_is_named(tmp_path: Path, length: int) -> None:
    """Also where only the temporary one is."""
    with pytest.raises(RunError, match="cannot be written: File name too long"):
        write(tmp_path / ("x" * length), "new")


@pytest.mark.parametrize("path", ["/", ".", ""])
def test_a_path_without_a_name_is_refused(path: str) -> None:
    """A folder is no place for a file."""
    with pytest.raises(InputError, match="is there and no ordinary file"):
        write(Path(path), "new")


def test_a_disk_that_refuses_tensors_is_told_like_any_other(tmp_path: Path) -> None:
    """Their library has an error of its own for what the system says."""
    path = tmp_path / "gone" / "tensors.safetensors"
    with (
        pytest.raises(RunError, match=r"tensors: cannot be written: .*No such file"),
        writing(tmp_path / "tensors"),
    ):
        save_file({"x": torch.zeros(1)}, path)
