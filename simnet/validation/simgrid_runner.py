"""Plays scenarios in SimGrid; a script for an interpreter that has it, and nothing of ours.

On stdin a JSON list of scenarios: {"links": {name: bytes per second}, "flows": [{"start_s",
"bytes", "route"}]}. On stdout {"version", "runs": [{"ends_s", "wall_s"}]}; "wall_s" is SimGrid's
time for simulating, without that for building the platform.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
from time import perf_counter
from typing import Any

import simgrid  # type: ignore[import-not-found]

#: Plain max-min sharing: each correction that is on by default is off.
SETTINGS = (
    "network/model:CM02",
    "network/bandwidth-factor:1",
    "network/latency-factor:1",
    "network/weight-S:0",
    "network/TCP-gamma:0",
    "network/crosstraffic:0",
    # Else what happens within a nanosecond is one event, which 4,032 flows at once show up.
    "surf/precision:1e-12",
)

Scenario = dict[str, Any]
FORK = multiprocessing.get_context("fork")


def apart(scenario: Scenario) -> dict[str, Any]:
    """Play it in a process of its own, for SimGrid has one engine in a process."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: sender.send(play(scenario)))
    process.start()
    sender.close()  # so that a process that dies ends the wait
    try:
        return receiver.recv()  # type: ignore[no-any-return]
    except EOFError:
        sys.exit(1)  # it has said why on stderr
    finally:
        process.join()


def play(scenario: Scenario) -> dict[str, Any]:
    """When each flow ends, and how long it took to find out."""
    options = ["--log=root.thresh:warning", *(f"--cfg={setting}" for setting in SETTINGS)]
    engine = simgrid.Engine(["thinwire", *options])
    zone = simgrid.NetZone.create_full_zone("zone")
    hosts = platform(zone, scenario)
    comms = {}

    def program() -> None:
        flows = enumerate(scenario["flows"])
        for index, flow in sorted(flows, key=lambda item: item[1]["start_s"]):
            if flow["start_s"] > engine.clock:
                simgrid.this_actor.sleep_until(flow["start_s"])
            src, dst = hosts[tuple(flow["route"])]
            comms[index] = simgrid.Comm.sendto_async(src, dst, flow["bytes"])
        for comm in comms.values():
            comm.wait()

    simgrid.Actor.create("program", zone.create_host("program", 1.0), program)
    zone.seal()
    began_s = perf_counter()
    engine.run()
    wall_s = perf_counter() - began_s
    return {"ends_s": [comms[index].finish_time for index in sorted(comms)], "wall_s": wall_s}


def platform(zone: Any, scenario: Scenario) -> dict[tuple[str, ...], tuple[Any, Any]]:
    """Two hosts for each route; who they are does not matter, only what lies between them.

    n routes need no more than the square root of n senders and as many receivers.
    """
    links = {
        name: zone.create_link(name, float(rate)).set_latency(0.0)
        for name, rate in scenario["links"].items()
    }
    routes = sorted({tuple(flow["route"]) for flow in scenario["flows"]})
    side = math.isqrt(len(routes) - 1) + 1
    senders = [zone.create_host(f"sender {n}", 1.0) for n in range(side)]
    receivers = [zone.create_host(f"receiver {n}", 1.0) for n in range(side)]
    hosts = {}
    for number, route in enumerate(routes):
        src, dst = hosts[route] = senders[number // side], receivers[number % side]
        hops = [simgrid.LinkInRoute(links[name]) for name in route]
        zone.add_route(src.netpoint, dst.netpoint, None, None, hops, False)  # noqa: FBT003
    return hosts


if __name__ == "__main__":
    done = [apart(scenario) for scenario in json.load(sys.stdin)]
    json.dump({"version": simgrid.simgrid_version, "runs": done}, sys.stdout)
