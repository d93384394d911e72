"""The doctor reports what is there, and what is in the way, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simnet import doctor
from simnet.doctor import Check, checks, import_names, lab_tools, namespaces


def _import_names_seen_from(folder: Path) -> Check:
    code = (
        "import dataclasses, json; from simnet.doctor import import_names; "
        "print(json.dumps(dataclasses.asdict(import_names())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return Check(**json.loads(done.stdout))


def test_every_check_says_what_it_found_and_a_failed_one_what_to_do() -> None:
    """No check is silent, none is named twice, and advice comes exactly with a failure."""
    found = checks()

    assert len({check.name for check in found}) == len(found) >= 9
    assert all(check.found for check in found)
    assert all(bool(check.advice) != check.ok for check in found)


def test_it_reports_this_interpreter() -> None:
    """The version found is that of the Python that asks."""
    assert Check("python", ok=True, found=platform.python_version()) == doctor.python()


def test_our_own_installation_owns_its_names() -> None:
    """In an environment of its own, nothing else answers to our import names."""
    check = import_names()

    assert check.ok, check.found


def test_another_distribution_with_our_import_name_is_reported(tmp_path: Path) -> None:
    """A distribution that also installs `traces` is named."""
    rival = tmp_path / "otherwire-2.0.dist-info"
    rival.mkdir()
    (rival / "METADATA").write_text("Metadata-Version: 2.1\nName: otherwire\nVersion: 2.0\n")
    (rival / "top_level.txt").write_text("traces\n")

    check = _import_names_seen_from(tmp_path)

    assert not check.ok
    assert "'otherwire' also installs 'traces'" in check.found
    assert "uninstall" in check.advice


@pytest.mark.parametrize("content", ["__init__.py", "notes.txt"])
def test_a_local_folder_in_the_way_is_reported(tmp_path: Path, content: str) -> None:
    """A folder called `figures` where the command is started is found before ours."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / content).touch()

    check = _import_names_seen_from(tmp_path)

    assert not check.ok
    assert f"'figures' is imported from {tmp_path / 'figures'}" in check.found


def test_looking_for_the_doctor_does_not_import_torch() -> None:
    """Torch is imported by the checks that ask it, not by the module."""
    code = "import sys, simnet.doctor; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_iproute2_the_lab_is_reported_as_not_possible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no `ip` is on the path, the lab's checks fail and say what to install."""
    monkeypatch.setenv("PATH", "")

    assert "no ip, no tc" in lab_tools().found
    assert "iproute2" in lab_tools().advice
    assert "not tried" in namespaces().found


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")
@pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed")
def test_trying_a_network_namespace_leaves_none_behind() -> None:
    """The namespaces of this machine are the same before and after."""
    assert namespaces().found

    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert f"thinwire-check-{os.getpid()}" not in left.stdout
