"""Where each rank stands on the run's common time axis, whose zero is rank 0's start."""

from __future__ import annotations

import platform
from pathlib import Path
from time import perf_counter

import torch
import torch.distributed as dist

from traces.clocks import Ping, ahead_s

_ROUNDS = 32  # the quickest of so many is close to the link's own latency


def common_time() -> float:
    """Seconds since rank 0 began the run; all ranks call this together."""
    rank_0_ahead_s = _rank_0_ahead_s()
    dist.barrier()
    began = torch.tensor([perf_counter()], dtype=torch.float64)
    dist.broadcast(began, src=0)
    return perf_counter() + rank_0_ahead_s - began.item()


def _rank_0_ahead_s() -> float:
    hosts: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(hosts, _host())
    rank = dist.get_rank()
    ahead = 0.0
    for other, host in enumerate(hosts):
        if host == hosts[0]:  # the same clock
            continue
        if rank == 0:
            for _ in range(_ROUNDS):
                _answer(other)
        elif rank == other:
            ahead = ahead_s([_ping() for _ in range(_ROUNDS)])
    return ahead


def _ping() -> Ping:
    clock = torch.zeros(1, dtype=torch.float64)
    sent_s = perf_counter()
    dist.send(clock, dst=0)
    dist.recv(clock, src=0)
    return Ping(sent_s, clock.item(), perf_counter())


def _answer(rank: int) -> None:
    clock = torch.zeros(1, dtype=torch.float64)
    dist.recv(clock, src=rank)
    clock.fill_(perf_counter())
    dist.send(clock, dst=rank)


def _host() -> str:
    """This host and its boot: containers of two hosts may well have the same name."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return platform.node() + (boot.read_text() if boot.exists() else "")
