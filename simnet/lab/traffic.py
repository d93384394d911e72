"""Other people's traffic on the lab's links: a process that sends datagrams at a steady rate."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traces.errors import InputError, RunError
from traces.units import bits, format_rate

if TYPE_CHECKING:
    from simnet.lab.namespaces import Lab

_DATAGRAM_BYTES = 1400
_HEADER_BYTES = 42  # UDP over IPv4 over Ethernet, as the bucket counts it
_PORT = 9  # the discard service, by tradition
_LONGEST_BACKLOG_S = 0.05  # of a sender that got no processor: it does not make up for more
_END_S = 5.0
#: Of what a bucket counts, what TCP carries of a program's data (as in bucket.py).
_TCP_PAYLOAD = 1448 / 1514


@dataclass(frozen=True, slots=True)
class Datagrams:
    """Datagrams from one rank's host to another's, which take `rate_bps` of the links' buckets.

    They take it whatever else is on the links, as calls and video do. Raises InputError for a
    rate that is none, and for one rank twice.
    """

    src: int
    dst: int
    rate_bps: float

    def __post_init__(self) -> None:
        if not self.rate_bps > 0:
            raise InputError(f"traffic of {format_rate(self.rate_bps)}, expected more than 0")
        if self.src == self.dst:
            raise InputError(f"traffic from rank {self.src} to itself; name two ranks")

    @property
    def payload_bps(self) -> float:
        """What TCP could carry of a program's data in its place."""
        return self.rate_bps * _TCP_PAYLOAD


@contextmanager
def sending(site: Lab, traffic: Datagrams) -> Iterator[None]:
    """The traffic flows while the block lasts; raises RunError if it had ended by itself."""
    address = site.address(traffic.dst)
    words = [sys.executable, "-m", "simnet.lab.traffic", address, str(traffic.rate_bps)]
    process = subprocess.Popen(
        site.command(traffic.src, words),
        stdin=subprocess.PIPE,  # its end is the sender's end
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        if not process.stdout.readline():
            said = process.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RunError(f"lab: the traffic's sender did not start: {''.join(said)}")
        yield
        if process.poll() is not None:
            raise RunError(f"lab: the traffic's sender ended, with exit code {process.returncode}")
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def send(address: str, rate_bps: float) -> None:
    """Send datagrams to this address at this rate, as the bucket counts them, until stdin ends."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((address, _PORT))
    payload = bytes(_DATAGRAM_BYTES)
    apart_s = bits(_DATAGRAM_BYTES + _HEADER_BYTES) / rate_bps
    sys.stdout.write("sending\n")
    sys.stdout.flush()
    due_s = time.perf_counter()
    while True:
        due_s = max(due_s + apart_s, time.perf_counter() - _LONGEST_BACKLOG_S)
        wait_s = due_s - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        try:
            sender.send(payload)
        except ConnectionRefusedError:
            continue  # nobody listens there, and nobody has to


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    send(sys.argv[1], float(sys.argv[2]))
