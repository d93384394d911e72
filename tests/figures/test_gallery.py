"""The gallery shows every figure there is, with the sentence and the command that go with it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from figures.entries import FIGURES, Entry
from simnet.cli import OK, call

DOCS = Path(__file__).resolve().parents[2] / "docs"
GALLERY = (DOCS / "gallery.md").read_text()
#: What the commands of the page are made cheaper by, here; the figures are the same.
CHEAPER = {
    "--steps 20,10": "--steps 2",
    "--steps 20": "--steps 3",
    "--steps 6": "--steps 2",
    "--batch 20": "--batch 2",
    "--batch 2": "--batch 1",
    "--batch 5": "--batch 1",
    "--images 20": "--images 2",
}


def section(name: str) -> str:
    """What the page has of a figure."""
    return GALLERY.split(f"\n## `{name}`", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("entry", FIGURES.values(), ids=list(FIGURES))
def test_every_figure_is_in_the_gallery(entry: Entry) -> None:
    """With a picture that is not large, its sentence, and a command that makes it."""
    shown = section(entry.name)
    assert entry.sentence in " ".join(shown.split())
    assert re.search(rf"thinwire figures .*--only \S*\b{entry.name}\b", shown)
    (picture,) = re.findall(rf"\((figures/gallery/{entry.name}\S*)\)", shown)
    assert (DOCS / picture).stat().st_size <= 150_000


def test_no_picture_of_the_gallery_is_left_over() -> None:
    """And all figures of the docs together are a small download."""
    shown = set(re.findall(r"\(figures/gallery/(\S+)\)", GALLERY))
    assert {path.name for path in (DOCS / "figures" / "gallery").iterdir()} == shown
    assert sum(path.stat().st_size for path in (DOCS / "figures").rglob("*.*")) < 4_000_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_of_the_gallery_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other in one folder, with fewer steps and images; all figures come of it."""
    monkeypatch.chdir(tmp_path)
    text = GALLERY
    for dear, cheap in CHEAPER.items():
        text = re.sub(rf"{dear}(?![\d,])", cheap, text)
    made = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for block in made:
        for line in block.replace("\\\n", " ").splitlines():
            assert call(shlex.split(line.removeprefix("$ "))[1:]) == OK, line
    for picture in re.findall(r"\(figures/gallery/(\S+)\)", GALLERY):
        assert (tmp_path / "figures" / picture).is_file(), picture
