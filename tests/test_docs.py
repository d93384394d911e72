"""What the README and the docs show is what happens: every command, drawing and line of Python."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import OK, call
from simnet.schedules.named import SCHEDULES, parameters
from traces.columns import COLUMNS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(600)  # all of them, one after the other
def test_every_command_of_the_readme_works_and_draws_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, in one folder that has the docs."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    commands = [line[2:] for block in blocks("console") for line in block.splitlines()]
    assert len(commands) > 15
    for command in commands:
        assert call(shlex.split(command)[1:]) == OK, command
    drawn = capsys.readouterr().out
    for drawing in blocks("text"):
        assert drawing in drawn


def test_the_first_screen_has_the_two_commands() -> None:
    """And they are targets of the Makefile."""
    assert [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()] == [
        "make demo",
        "make test",
    ]
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "bench", "lint"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_of_the_readme_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is short, and prints a prediction."""
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - that is the point
    seconds, *_ = capsys.readouterr().out.split()
    assert float(seconds) > 1


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_run(example: Path) -> None:
    """As a user would run them."""
    done = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_page_on_extending_runs(tmp_path: Path) -> None:
    """All its code, in order; it holds its own assertions. A schedule, or a codec, is short."""
    code = blocks("python", EXTENDING)
    page = tmp_path / "extending.py"
    page.write_text("\n".join(code))
    done = subprocess.run([sys.executable, str(page)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    classes = [block for block in code if "\nclass " in block]
    assert len(classes) == 2
    assert all(len(block.splitlines()) < 40 for block in classes)


def test_the_code_on_extending_is_that_of_the_examples() -> None:
    """Every line but imports, in the same order."""
    examples = [(ROOT / "examples" / f"own_{what}.py") for what in ("schedule", "codec")]
    source = iter("\n".join(path.read_text() for path in examples).splitlines())
    lines = [line.strip() for line in source]
    at = 0
    for line in "\n".join(blocks("python", EXTENDING)).splitlines():
        if not line.startswith(("import ", "from ")):
            assert line.strip() in lines[at:], line
            at = lines.index(line.strip(), at) + 1 if line.strip() else at


@pytest.mark.parametrize("kind", SCHEDULES.values(), ids=list(SCHEDULES))
def test_the_catalogue_has_every_schedule_as_it_describes_itself(kind: type[Any]) -> None:
    """Its paper, its drawing and its parameters."""
    catalogue = (ROOT / "docs" / "schedules.md").read_text()
    assert f"\n## `{kind.name}`" in catalogue
    section = catalogue.split(f"\n## `{kind.name}`")[1].split("\n## ")[0]
    docstring = inspect.getdoc(kind) or ""
    (title,) = re.findall(r'"(.*?)"', docstring.splitlines()[0])
    assert title in section
    drawing = [line for line in docstring.splitlines() if "|" in line]
    assert drawing or kind.name == "data"
    for line in textwrap.dedent("\n".join(drawing)).splitlines():
        assert line in section
    for name, default in parameters(kind).items():
        assert f"`{name}={default}`" in section


def test_the_docs_describe_every_column() -> None:
    """With its type."""
    text = (ROOT / "docs" / "traces.md").read_text()
    for name, dtype in COLUMNS.items():
        assert f"| `{name}` | {dtype} |" in text


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_links_between_the_docs_lead_somewhere(path: Path) -> None:
    """Those to files of the project."""
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(300)  # 50 s of processor time; a busy machine needs more of the clock
def test_the_demo_leaves_its_table_traces_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `make demo` runs; what an earlier one left is replaced."""
    assert "thinwire demo --out out/demo" in (ROOT / "Makefile").read_text()
    earlier = ["--gpu", "l20", "--network", "pcie-4", "--out", str(tmp_path / "demo" / "ring")]
    assert call(["predict", *earlier]) == OK
    assert call(["demo", "--out", str(tmp_path / "demo")]) == OK
    out = capsys.readouterr().out
    for name in ("pcie-4", "ethernet-10g", "ethernet-1g", "ethernet-100m"):
        assert name in out
    assert "4 processes ran on" in out
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        *("ring", "distrifusion", "table.csv", "latency-against-bandwidth.png"),
        *("timeline-ring.png", "timeline-distrifusion.png", "report.html"),
    }
