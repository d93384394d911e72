"""How unevenly experts and their ranks are wanted, and what that does to the all-to-all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import simpy
import xarray as xr
from numpy.typing import NDArray

from analysis.choices import check_uneven, owners, row_bytes, teams
from analysis.results import ratio
from analysis.routing import loads
from analysis.sentences import sentence
from simnet.network.network import Exchange, Line, Network

if TYPE_CHECKING:
    from simnet.schedules.expert.placement import Placement
    from traces.trace import Trace

Numbers = NDArray[np.float64]


def imbalance(trace: Trace, placement: Placement | None = None) -> xr.Dataset:
    """The largest load over the mean, by (layer, step): 1 where experts are wanted evenly.

    `expert` is of experts, from the tokens of all ranks that share them; `rank` of the ranks that
    have them, as `placement` says, by default as the run's schedule does: the rank with most rows
    to serve works so much longer than on average. Of teams that do not share experts, the most
    uneven counts. NaN and errors as for `loads`; raises InputError too where the ranks cannot share
    the experts evenly, and for a schedule with a capacity, whose ranks serve as many rows each.
    """
    check_uneven(trace)
    found = loads(trace)
    owner = owners(trace, found.sizes["expert"], placement)
    load = found["load"].to_numpy()
    wanted = [load[:, :, list(team)].sum(axis=2) for team in teams(trace)]
    by_rank = [_by_owner(each, owner) for each in wanted]
    result = xr.Dataset(
        {
            name: (("layer", "step"), np.max([_uneven(load_) for load_ in of], axis=0))
            for name, of in (("expert", wanted), ("rank", by_rank))
        },
        {name: found[name] for name in ("layer", "step")},
    )
    for name in ("expert", "rank"):
        result[name].attrs = {"units": "1", "long_name": f"largest load of any {name} / mean"}
    most = sentence("a rank serves up to {:.2f} times the mean", result["rank"], np.max)
    return result.assign_attrs(found.attrs, summary=most)


def dispatch_times(
    trace: Trace, network: Network, placement: Placement | None = None
) -> xr.Dataset:
    """Seconds that the dispatch of all slots takes on a network by itself, by (layer, step).

    `captured_s` with the parts that the recorded choices make, `even_s` with as many bytes in equal
    parts, `slowdown` their ratio (NaN where nothing is sent). Rows count as whole ones, also
    where a codec makes less of them. Predicted, from when all ranks are ready until the last one is
    through; the slowest team counts. NaN and errors as for `imbalance`;
    raises InputError too for a model that is not known.
    """
    check_uneven(trace)
    found, bytes_ = loads(trace), row_bytes(trace)
    owner = owners(trace, found.sizes["expert"], placement)
    load = found["load"].to_numpy()
    seconds = np.full((*load.shape[:2], 2), np.nan)
    for team in teams(trace):
        for place in np.ndindex(*load.shape[:2]):
            sizes = _by_owner(load[place][list(team)], owner) * bytes_
            if np.isfinite(sizes).all():
                even = np.broadcast_to(sizes.mean(axis=1, keepdims=True), sizes.shape)
                times = [_alone_s(network, team, each) for each in (sizes, even)]
                seconds[place] = np.fmax(seconds[place], times)
            else:
                seconds[place] = np.nan
    captured, even = np.moveaxis(seconds, -1, 0)
    dims = ("layer", "step")
    result = xr.Dataset(
        {
            "captured_s": (dims, captured, {"units": "s"}),
            "even_s": (dims, even, {"units": "s"}),
            "slowdown": (dims, ratio(captured, even), {"units": "1"}),
        },
        {name: found[name] for name in dims},
    )
    about = {"evidence": "predicted", "network": network.name, "row_bytes": bytes_}
    slower = sentence("{:.2f} times as long as of equal parts", result["slowdown"])
    return result.assign_attrs(found.attrs | about, summary=slower)


def dispatch_times_on(trace: Trace, name: str) -> xr.Dataset:
    """`dispatch_times` on a network preset; raises InputError for an unknown one too."""
    from simnet.network.presets import network

    return dispatch_times(trace, network(name))


def _by_owner(load: Numbers, owner: NDArray[np.int64]) -> Numbers:
    """Loads (..., E) as (..., P), of the ranks that have the experts."""
    at = np.arange(owner.max() + 1) == owner[:, None]
    served: Numbers = load @ at.astype(np.float64)
    return served


def _uneven(load: Numbers) -> Numbers:
    return ratio(load.max(axis=-1), load.mean(axis=-1))


def _alone_s(network: Network, ranks: Sequence[int], sizes: Numbers) -> float:
    """When the last rank is through with an all-to-all of these bytes, on an idle network."""
    members = tuple(ranks)
    rows = tuple(tuple(row) for row in sizes.tolist())
    most = max(map(sum, rows))
    env, line = simpy.Environment(), Line("dispatch", members)
    ready = (0.0,) * len(members)
    exchange = Exchange("all_to_all", members, most, line, 0, ready, rows)
    env.run(env.all_of(network.traffic(env).carry(exchange)))
    return float(env.now)
