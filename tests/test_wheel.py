"""The wheel holds the four packages, the command, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("traces", "simnet", "analysis", "figures")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """A wheel of a copy: a build leaves files beside the source, and takes along those of old."""
    copy = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*build, "--wheel-dir", "dist", "."], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = (copy / "dist").glob("*.whl")
    return ZipFile(path)


def test_it_holds_every_file_of_the_packages_and_no_other(wheel: ZipFile) -> None:
    """No test, no folder of another name; no subpackage or data file is forgotten."""
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    held = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert held == expected


def test_it_brings_the_trained_weights(wheel: ZipFile) -> None:
    """Small enough for a package: 25 MB in all."""
    trained = {
        Path(entry.filename).name: entry.file_size
        for entry in wheel.infolist()
        if entry.filename.startswith("simnet/models/trained/")
    }
    names = ("dit-fashion", "dit-moe-tiny", "fashion-classifier")
    assert trained.keys() == {f"{name}.safetensors" for name in names}
    assert 0 < sum(trained.values()) <= 25e6


def test_its_command_is_thinwire(wheel: ZipFile) -> None:
    """Installing it makes one command."""
    [name] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    entries = ConfigParser()
    entries.read_string(wheel.read(name).decode())

    assert {section: dict(entries[section]) for section in entries.sections()} == {
        "console_scripts": {"thinwire": "simnet.cli:main"}
    }


def test_it_brings_its_licence(wheel: ZipFile) -> None:
    """The licence text travels with the code."""
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())
