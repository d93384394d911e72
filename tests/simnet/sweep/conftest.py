"""Small sweeps, and what the command makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import OK, call

Sweeping = Callable[..., dict[str, Any]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder for results, which is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def sweeping(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> Sweeping:
    """Sweep what a text asks for; gives what the command prints as JSON."""

    def sweep(text: str, *options: str, into: Path = cache) -> dict[str, Any]:
        path = tmp_path / "small.toml"
        path.write_text(text, encoding="utf-8")
        capsys.readouterr()
        jobs = () if {"--jobs", "--scheduler"} & set(options) else ("--jobs", "1")
        arguments = ["sweep", str(path), "--cache", str(into), *jobs, "--json", *options]
        assert call(arguments) == OK, capsys.readouterr().err
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return sweep
