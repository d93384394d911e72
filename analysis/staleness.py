"""How old the activations are that a rank uses of others: measured from what it waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace

_KEPT = "age"
_PLACE = ["rank", "step", "layer"]


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
    used = _used(ops, waits[waits["name"] == name])
    ages = used["age"].groupby([used[key] for key in _PLACE])
    grid: xr.DataArray = ages.max().rename("age").to_xarray()
    grid = grid.reindex(rank=range(trace.run.ranks), step=range(trace.run.steps)).astype(float)
    return grid.assign_attrs(units="steps", transfer=name)


def ages(trace: Trace) -> xr.Dataset:
    """Ages in steps of all that was used: `transfers` (transfer, layer, step), of all ranks.

    There the oldest that any rank waited for, by the name of what was transferred. Where the
    experts' outputs were kept as "age", also `outputs` (layer, step, slot): how old each slot's
    output was, as the schedule knows it; it is older than its transfer where the experts work on
    tokens of an earlier step. NaN where nothing was used: `gaps` says of which ranks there is
    nothing. Raises InputError where no rank waits and no age was kept.
    """
    ops = trace.ops
    waits = ops[ops["kind"] == "wait"]
    found: dict[str, xr.DataArray] = {}
    if not waits.empty:
        found["transfers"] = _of_transfers(_used(ops, waits), trace)
    if _KEPT in trace.kept():
        found["outputs"] = _of_outputs(trace)
    if not found:
        raise InputError("no rank waits for a transfer, and no ages were kept: nothing can be old")
    for ages_ in found.values():
        ages_.attrs["units"] = "steps"
    run = trace.run
    about = {"model": run.model, "schedule": run.schedule, "evidence": run.evidence}
    return xr.Dataset(found, attrs=about | {"gaps": "; ".join(trace.problems)})


def _used(ops: pd.DataFrame, waits: pd.DataFrame) -> pd.DataFrame:
    """Waits, with the age of what each waited for."""
    asked = ops[["rank", "seq", "step"]].rename(columns={"seq": "waits_for", "step": "asked"})
    used = waits[[*_PLACE, "name", "waits_for"]].merge(asked, on=["rank", "waits_for"])
    return used.assign(age=used["step"] - used["asked"])


def _of_transfers(used: pd.DataFrame, trace: Trace) -> xr.DataArray:
    by = [used["name"].rename("transfer"), used["layer"], used["step"]]
    oldest: xr.DataArray = used["age"].groupby(by).max().to_xarray()
    return oldest.reindex(step=range(trace.run.steps)).astype(float)


def _of_outputs(trace: Trace) -> xr.DataArray:
    kept = trace.activations(_KEPT).rename(d0="slot")
    steps = [kept.isel(step=place).max("rank") for place in range(kept.sizes["step"])]
    oldest = xr.concat(steps, "step").reindex(step=range(trace.run.steps))
    return oldest.transpose("layer", "step", "slot")
