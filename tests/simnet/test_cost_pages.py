"""What docs/extract.md and docs/profiles.md show runs."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from simnet.cli import OK, call

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["extract.md", "profiles.md"])
def test_every_command_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in one folder."""
    if page == "extract.md" and not find_spec("diffusers"):
        pytest.skip("needs diffusers, which is optional")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text()
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines()]
    assert len(commands) > 3
    for command in commands:
        assert call(shlex.split(command)[1:]) == OK, command
