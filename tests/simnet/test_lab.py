"""The lab: hosts behind slow links on one machine, all gone when they are no longer needed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from simnet.calibration.fit import fit
from simnet.calibration.launch import measured
from simnet.lab.bucket import Bucket
from simnet.lab.namespaces import PREFIX, Host, Lab, clean_up, why_not
from traces.errors import InputError, RunError

REASON = why_not()
LIVE = Path(__file__).parent / "live"
lab = [
    pytest.mark.lab,
    pytest.mark.skipif(REASON is not None, reason=f"no lab here: {REASON}"),
]


def namespaces(process: int | None = None) -> list[str]:
    """Those that labs of this process, or another one, have made."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    stem = f"{PREFIX}{process or os.getpid()}-"
    return [line.split()[0] for line in listed.stdout.splitlines() if line.startswith(stem)]


def said(site: Lab, rank: int, *words: str) -> str:
    """What a command says on the rank's host."""
    command = site.command(rank, words)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lab([]), "0 hosts, expected 1 to 250"),
        (lambda: Host(1e6, ranks=0), "a host has 0 ranks"),
        (lambda: Bucket(0.0), "carries 0 bit/s, expected 10.0 kbit/s to 1.00 Tbit/s"),
        (lambda: Bucket(float("inf")), "carries inf bit/s, expected 10.0 kbit/s"),
        (lambda: Host(1.0), "carries 1.00 bit/s, expected 10.0 kbit/s"),
    ],
)
def test_labs_that_make_no_sense_are_refused(make: Callable[[], object], message: str) -> None:
    """The message says what was expected."""
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_a_bucket_holds_more_than_the_link_carries_in_a_kernel_tick() -> None:
    """And a segment of TCP's in any case."""
    assert Bucket(50e6).burst_bytes == 64_000
    assert Bucket(1e9).burst_bytes == 600_000
    assert Bucket(100e6).payload_bps == pytest.approx(95.64e6, rel=1e-3)


def test_ranks_are_numbered_host_by_host() -> None:
    """As torchrun numbers them."""
    site = Lab([Host(1e8, ranks=2), Host(1e7)])
    variables = [site.variables(rank) for rank in range(site.ranks)]

    assert [v["RANK"] for v in variables] == ["0", "1", "2"]
    assert [v["LOCAL_RANK"] for v in variables] == ["0", "1", "0"]
    assert [v["LOCAL_WORLD_SIZE"] for v in variables] == ["2", "2", "1"]
    assert {v["WORLD_SIZE"] for v in variables} == {"3"}


def test_without_root_a_lab_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """And makes nothing."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match="need root"), Lab([Host(1e8)]):
        raise AssertionError


def test_without_iproute2_a_lab_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command that is missing, and what to install."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="'ip' is not found; install iproute2"), Lab([Host(1e8)]):
        raise AssertionError


@pytest.mark.parametrize("rate_bps", [10e3, 1e6, 1e9, 1e12])
def test_a_bucket_is_told_in_whole_numbers(rate_bps: float) -> None:
    """Of bits a second and of bytes."""
    words = Bucket(rate_bps).words()

    assert words[:3] == ["tbf", "rate", f"{rate_bps:.0f}bit"]
    assert all(words[place].isdigit() for place in (4, 6))


class TestNamespaces:
    """With real ones."""

    pytestmark = lab

    def test_each_host_has_its_own_link_of_its_own_rate(self) -> None:
        """Both ends have a bucket, and TCP on it is cubic."""
        with Lab([Host(50e6), Host(20e6, ranks=2)]) as site:
            assert "rate 50Mbit burst" in said(site, 0, "tc", "qdisc", "show", "dev", "eth0")
            for rank in (1, 2):
                assert "rate 20Mbit burst" in said(site, rank, "tc", "qdisc", "show", "dev", "eth0")
            assert "congctl cubic" in said(site, 0, "ip", "route")
            switch = next(name for name in namespaces() if name.endswith("switch"))
            ends = ["tc", "-n", switch, "qdisc", "show"]
            shown = subprocess.run(ends, capture_output=True, text=True, check=True).stdout
            assert len(re.findall(r"tbf .* rate (50|20)Mbit", shown)) == 2
        assert namespaces() == []

    @pytest.mark.parametrize("rate_bps", [10e3, 1e12])
    def test_a_link_can_have_the_least_and_the_most_rate(self, rate_bps: float) -> None:
        """The burst is what the bucket says of it."""
        with Lab([Host(rate_bps)]) as site:
            shown = said(site, 0, "tc", "-j", "qdisc", "show", "dev", "eth0")

        (options,) = [each["options"] for each in json.loads(shown) if each["kind"] == "tbf"]
        assert options["rate"] * 8 == rate_bps
        assert options["burst"] == pytest.approx(Bucket(rate_bps).burst_bytes, rel=0.01)

    def test_a_lab_is_gone_after_a_failure_inside(self) -> None:
        """Whatever it was."""
        inside: list[str] = []

        def fail() -> None:
            with Lab([Host(1e8)] * 2):
                inside.extend(namespaces())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert len(inside) == 3
        assert namespaces() == []

    def test_a_lab_that_cannot_be_made_leaves_nothing(self) -> None:
        """The second host's name is taken; the switch and the first host were there already."""
        site = Lab([Host(1e8), Host(1e8)])
        taken = site.command(1, [])[-1]
        subprocess.run(["ip", "netns", "add", taken], check=True)
        with pytest.raises(RunError, match="File exists"), site:
            raise AssertionError
        assert namespaces() == []

    def test_what_runs_in_a_lab_ends_with_it(self) -> None:
        """Also a process that nobody waits for."""
        with Lab([Host(1e8)]) as site:
            command = site.command(0, ["sh", "-c", "echo started; sleep 600"])
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            with process:
                assert process.stdout is not None
                assert process.stdout.readline() == "started\n"
                site.remove()
                assert process.wait(timeout=10) == -signal.SIGKILL

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
    def test_a_lab_is_gone_after_ctrl_c_and_cleaned_up_after_a_kill(self, how: int) -> None:
        """What a killed process had no chance to remove, the next lab does."""
        script = [sys.executable, str(LIVE / "waiting_lab.py")]
        with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert len(namespaces(process.pid)) == 2
            process.send_signal(how)
            process.wait(timeout=20)
        left = namespaces(process.pid)
        if how == signal.SIGINT:
            assert left == []
        else:
            assert sorted(clean_up()) == sorted(left)
            assert namespaces(process.pid) == []

    @pytest.mark.slow
    def test_the_fitted_rate_is_what_the_bucket_lets_through(self) -> None:
        """1448 bytes of payload in every 1514 that the bucket counts, within 5 %."""
        rate_bps = 50e6
        with Lab([Host(rate_bps)] * 2) as site:
            rows = [row for step in measured(site, "cpu", quick=True) for row in step.rows]
        found = fit(pd.DataFrame(rows))

        assert found.numbers.rate_bps.value == pytest.approx(rate_bps * 1448 / 1514, rel=0.05)
        assert not found.half_duplex
        assert namespaces() == []
