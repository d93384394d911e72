"""How old the activations are that a rank uses of others: measured from what it waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from traces.trace import Trace


def age_map(trace: Trace, name: str = "kv") -> xr.DataArray:
    """Age in steps of the transfers called `name` used at (rank, step, layer).

    The step of a wait less the step in which its transfer was asked for; of several the oldest,
    NaN where none was waited for. Every rank, step and layer that waits at all has its place.
    Raises InputError where no rank waits for a transfer of that name.
    """
    ops = trace.ops
    waits = ops[ops["kind"] == "wait"]
    if name not in set(waits["name"]):
        names = ", ".join(sorted(set(waits["name"]))) or "no transfers at all"
        raise InputError(f"no rank waits for a transfer named {name!r}: they wait for {names}")
    waits = waits.loc[waits["name"] == name, ["rank", "step", "layer", "waits_for"]]
    asked = ops[["rank", "seq", "step"]].rename(columns={"seq": "waits_for", "step": "asked"})
    used = waits.merge(asked, on=["rank", "waits_for"])
    ages = (used["step"] - used["asked"]).groupby([used[k] for k in ("rank", "step", "layer")])
    grid: xr.DataArray = ages.max().rename("age").to_xarray()
    grid = grid.reindex(rank=range(trace.run.ranks), step=range(trace.run.steps)).astype(float)
    return grid.assign_attrs(units="steps", transfer=name)
