"""Plays a ring's operation graph in SimGrid; a script for an interpreter that has it.

On stdin JSON: {"rate": bytes per second of each rank's link each way, "costs": seconds of each
call, "ranks": [[[kind, what], ...], ...]}, where kind 0 is a compute of a call, 1 a wait for the
operation at that place, and 2 a shift of so many bytes to the next rank. On stdout {"total_s",
"wall_s"}; "wall_s" is the time for simulating, without that for building the platform.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

import simgrid  # type: ignore[import-not-found]

#: Plain max-min sharing, as simnet/validation/simgrid_runner.py has it.
SETTINGS = (
    "network/model:CM02",
    "network/bandwidth-factor:1",
    "network/latency-factor:1",
    "network/weight-S:0",
    "network/TCP-gamma:0",
    "network/crosstraffic:0",
)


def play(graph: dict[str, Any]) -> dict[str, float]:
    """Every rank an actor; gives the end of the last one."""
    options = ["--log=root.thresh:warning", *(f"--cfg={setting}" for setting in SETTINGS)]
    engine = simgrid.Engine(["thinwire", *options])
    zone = simgrid.NetZone.create_full_zone("zone")
    count = len(graph["ranks"])
    hosts = [zone.create_host(f"rank {rank}", 1.0) for rank in range(count)]
    sides = [
        [zone.create_link(f"{way} {rank}", graph["rate"]).set_latency(0.0) for rank in range(count)]
        for way in ("out", "in")
    ]
    for src in range(count):
        dst = (src + 1) % count
        hops = [simgrid.LinkInRoute(sides[0][src]), simgrid.LinkInRoute(sides[1][dst])]
        zone.add_route(hosts[src].netpoint, hosts[dst].netpoint, None, None, hops, False)  # noqa: FBT003
    for rank, host in enumerate(hosts):
        simgrid.Actor.create(f"rank {rank}", host, program, graph, rank)
    zone.seal()
    began_s = perf_counter()
    engine.run()
    return {"total_s": engine.clock, "wall_s": perf_counter() - began_s}


def program(graph: dict[str, Any], rank: int) -> None:
    """One rank's operations."""
    count = len(graph["ranks"])
    to = simgrid.Mailbox.by_name(f"to {(rank + 1) % count}")
    own = simgrid.Mailbox.by_name(f"to {rank}")
    under_way: dict[int, list[Any]] = {}
    brought = []  # places that SimGrid writes to
    for place, (kind, what) in enumerate(graph["ranks"][rank]):
        if kind == 0:
            simgrid.this_actor.sleep_for(graph["costs"][what])
        elif kind == 1:
            for comm in under_way.pop(what):
                comm.wait()
        else:
            comm, value = own.get_async()
            brought.append(value)
            under_way[place] = [to.put_async("x", what), comm]


if __name__ == "__main__":
    json.dump(play(json.load(sys.stdin)), sys.stdout)
