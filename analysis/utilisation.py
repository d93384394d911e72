"""How busy communicators and links are over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy
import xarray as xr
from numpy.typing import NDArray

from analysis.exchanges import exchanges, places
from analysis.results import ratio
from simnet.drivers.replay import replay
from simnet.network.carriage import Carrier
from simnet.network.fluid import Fluid
from simnet.network.network import Network
from simnet.network.presets import NETWORKS
from traces.errors import InputError
from traces.summary import summarize
from traces.units import bits

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace

Numbers = NDArray[np.float64]


def lines_busy(trace: Trace, bins: int = 100) -> xr.Dataset:
    """Of each line, a communicator or one rank's messages to another, by (line, time).

    `busy`: the share of a bin in which one of its exchanges was under way, from when all its ranks
    had asked for it and the one before was over; `rate_bps`: bits that its ranks put on the wire,
    as if each exchange had gone at one rate. `time` is the middle of a bin, of as many equal ones
    from 0 to the run's end. Transfers that end later are cut off there. Exchanges that never ended,
    or of which some rank's rows are missing, are left out: attribute "gaps" counts them. Raises
    InputError for no bins and where nothing was sent, TraceError where nobody computed or waited.
    """
    total_s = _total_s(trace, bins)
    table = exchanges(places(trace))
    whole = table[(table["ranks"] == table["members"]) & table["end_s"].notna()]
    names = sorted(set(table.index.get_level_values("line")))
    if not names:
        raise InputError("nothing was sent in this trace, so no line was busy")
    edges_s = np.linspace(0.0, total_s, bins + 1)
    busy, rate_bps = np.zeros((len(names), bins)), np.zeros((len(names), bins))
    for place, name in enumerate(names):
        if name in whole.index:
            rows = whole.loc[name]
            busy[place] = _covered_s(rows, edges_s)
            rate_bps[place] = _spread_bits(rows, edges_s)
        else:
            busy[place] = rate_bps[place] = math.nan
    lost = len(table) - len(whole)
    gaps = [f"{lost} exchanges never ended or lack the rows of a rank"] if lost else []
    result = _over_time("line", names, edges_s, {"busy": busy, "rate_bps": rate_bps})
    result["busy"].attrs["units"], result["rate_bps"].attrs["units"] = "1", "bit/s"
    return result.assign_attrs(_about(trace), gaps="; ".join([*trace.problems, *gaps]))


def links_busy(trace: Trace, network: Network | None = None, bins: int = 100) -> xr.Dataset:
    """Of each side of each link, by (link, time), as the run goes on this network: a replay.

    `utilisation`: bits that cross it in a bin over those that it could carry; `rate_bps`: of those
    that cross it. Links without a limit are left out. By default the network that a prediction was
    made for, where it is a preset. `total_s` is how long the replay takes. Predicted, and exact for
    the network model. Raises InputError for no bins, for a measured trace without a network, for a
    network under conditions, and for one without limits; TraceError and ScheduleError as `replay`.
    """
    chosen = network or _network_of(trace)
    metered = _Metered(chosen)
    played = replay(trace, metered)
    total_s = _total_s(played, bins)
    edges_s = np.linspace(0.0, total_s, bins + 1)
    meter = metered.meter
    names = sorted(meter.carried)
    if not names:
        raise InputError(f"network {chosen.name!r}: no link has a limit, or nothing was sent")
    carried = np.stack([_integral(meter.carried[name], edges_s) for name in names])
    limits = np.array([meter.limits_bps[name] for name in names])[:, None]
    rate_bps = ratio(carried, np.diff(edges_s))
    values = {"utilisation": ratio(rate_bps, limits), "rate_bps": rate_bps}
    result = _over_time("link", names, edges_s, values)
    result["utilisation"].attrs["units"], result["rate_bps"].attrs["units"] = "1", "bit/s"
    about = {"evidence": "predicted", "network": chosen.name, "total_s": total_s}
    return result.assign_attrs(_about(trace) | about, gaps="")


class _Meter(Fluid):
    """Flows that are watched: what crosses each side, whenever that changes."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self.carried: dict[str, list[tuple[float, float]]] = {}  # (since when, bit/s)
        self.limits_bps: dict[str, float] = {}
        self._sides: dict[str, Any] = {}

    def start(self, route: Sequence[Any], nbits: float, **limits: float) -> Any:
        """See Fluid."""
        for side in route:
            self._sides[side.name] = side
            self.limits_bps[side.name] = max(side.rate_bps, self.limits_bps.get(side.name, 0.0))
        return super().start(route, nbits, **limits)

    def _settle(self, event: simpy.Event) -> None:
        super()._settle(event)
        for name, side in self._sides.items():
            rate_bps = float(sum(times * flow.rate_bps for flow, times in side.flows.items()))
            changes = self.carried.setdefault(name, [(0.0, 0.0)])
            if changes[-1][1] != rate_bps:
                changes.append((self.env.now, rate_bps))


class _Metered:
    """A network whose flows are watched."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.name = network.name
        self.meter: _Meter

    def traffic(self, env: simpy.Environment) -> Carrier:
        """See Network."""
        carrier = self.network.traffic(env)
        if type(carrier) is not Carrier:  # another kind has plans of its own for its flows
            raise InputError(
                f"network {self.name!r} is under conditions, under which its links have no "
                "rate of their own; give it without"
            )
        carrier.fluid = self.meter = _Meter(env)
        return carrier


def _network_of(trace: Trace) -> Network:
    if trace.run.evidence != "predicted" or trace.run.network not in NETWORKS:
        raise InputError(
            f"nothing is known of the links of {trace.run.network!r}, on which this trace was "
            f"{trace.run.evidence}; give a network to replay it on"
        )
    return NETWORKS[trace.run.network]


def _total_s(trace: Trace, bins: int) -> float:
    if bins < 1:
        raise InputError(f"bins is {bins}, expected 1 or more")
    total_s = summarize(trace).total_s
    if not total_s:
        raise InputError("nothing in this trace took any time, so nothing was busy")
    return total_s


def _about(trace: Trace) -> dict[str, Any]:
    run = trace.run
    about = {name: getattr(run, name) for name in ("model", "schedule", "network")}
    return about | {"evidence": run.evidence, "total_s": summarize(trace).total_s}


def _covered_s(rows: pd.DataFrame, edges_s: Numbers) -> Numbers:
    """The share of each bin that some of these intervals cover."""
    begins_s, ends_s = rows["begin_s"].to_numpy(), rows["end_s"].to_numpy()
    order = np.argsort(begins_s, kind="stable")
    begins_s, reach_s = begins_s[order], np.maximum.accumulate(ends_s[order])
    from_s = np.maximum(begins_s, np.concatenate([[0.0], reach_s[:-1]]))
    spans = np.stack([np.minimum(from_s, reach_s), reach_s], axis=1)  # rising, without overlap
    knots_s = np.concatenate([[0.0], spans.ravel()])
    lengths_s = np.diff(knots_s)
    lengths_s[::2] = 0.0
    covered_s = np.interp(edges_s, knots_s, np.concatenate([[0.0], np.cumsum(lengths_s)]))
    return ratio(np.diff(covered_s), np.diff(edges_s))


def _spread_bits(rows: pd.DataFrame, edges_s: Numbers) -> Numbers:
    """Bits per second in each bin, of exchanges that each go at one rate."""
    total = np.zeros(len(edges_s))
    for begin_s, end_s, wire_bytes in zip(
        rows["begin_s"], rows["end_s"], rows["wire_bytes"], strict=True
    ):
        sent = bits(float(wire_bytes))
        if end_s > begin_s:
            total += sent * np.clip((edges_s - begin_s) / (end_s - begin_s), 0.0, 1.0)
        else:
            total += sent * (edges_s > begin_s)
    return ratio(np.diff(total), np.diff(edges_s))


def _integral(changes: Sequence[tuple[float, float]], edges_s: Numbers) -> Numbers:
    """What a rate that changes at these times comes to in each bin."""
    since_s, rate = np.array(changes).T
    knots_s = np.append(since_s, max(edges_s[-1], since_s[-1]))
    total = np.concatenate([[0.0], np.cumsum(np.diff(knots_s) * rate)])
    return np.diff(np.interp(edges_s, knots_s, total))


def _over_time(
    dim: str, names: list[str], edges_s: Numbers, values: dict[str, Numbers]
) -> xr.Dataset:
    middle_s = (edges_s[1:] + edges_s[:-1]) / 2
    return xr.Dataset(
        {name: ((dim, "time"), array) for name, array in values.items()},
        {dim: names, "time": ("time", middle_s, {"units": "s"})},
    )
