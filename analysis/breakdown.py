"""Where the time of several runs went side by side, and what was measured beside its prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from analysis.critical_path import KINDS, critical_path
from analysis.extent import extent
from traces.errors import InputError
from traces.interval import hidden_s
from traces.join import join
from traces.summary import summarize

if TYPE_CHECKING:
    from traces.trace import Trace

_TIMES = ("total_s", "compute_s", "exposed_s", "host_s", "hidden_s", "bytes", "wire_bytes")


def breakdown(traces: Mapping[str, Trace]) -> pd.DataFrame:
    """A row for each run, by its label: what its time was made of.

    Times (s) of the rank that finishes last: total_s = compute_s + exposed_s + host_s; hidden_s
    is communication beside. Of the critical path, through all ranks, path_compute_s and so on for
    its KINDS: what the run was bound by; they add up to total_s, too. bytes and wire_bytes of all
    ranks. evidence, schedule, network, extent, and gaps: what a recording lost ("" where nothing).
    Raises InputError where there is no run, TraceError for one in which nobody did anything.
    """
    if not traces:
        raise InputError("breakdown: give at least one trace")
    rows = []
    for label, trace in traces.items():
        summary, path = summarize(trace), critical_path(trace)
        lengths_s = path.groupby("kind")["length_s"].sum()
        row: dict[str, object] = {"label": label}
        row |= {name: getattr(summary, name) for name in _TIMES}
        row |= {f"path_{kind}_s": float(lengths_s.get(kind, 0.0)) for kind in KINDS}
        row |= {"evidence": summary.evidence, "schedule": summary.schedule}
        row |= {"network": summary.network, "extent": extent(trace)}
        rows.append(row | {"gaps": path.attrs["gaps"]})
    return pd.DataFrame(rows)


def communication(trace: Trace) -> pd.DataFrame:
    """Exposed and hidden communication of each step, kind and name of transfer, over all ranks.

    Columns step, kind, name; exposed_s, waited for in that step, whichever step it was asked for
    in; hidden_s, under way in time of ranks that did not wait, counted where it was asked for, and
    each kind by itself; transfers asked for, and their bytes and wire_bytes. Sums over ranks.
    `unended` counts transfers that never ended, which hide nothing; where none ended, hidden_s is
    NaN.
    """
    ops, keys = trace.ops, ["step", "kind", "name"]
    transfers = ops[ops["stream"] != "compute"]
    asked = transfers.groupby(keys).agg(
        transfers=("seq", "size"),
        bytes=("bytes", "sum"),
        wire_bytes=("wire_bytes", "sum"),
        unended=("end_s", lambda end_s: int(end_s.isna().sum())),
    )
    waits = ops.loc[ops["kind"] == "wait", ["rank", "step", "name", "waits_for"]]
    kinds = transfers[["rank", "seq", "kind"]].rename(columns={"seq": "waits_for"})
    lengths_s = (ops["end_s"] - ops["start_s"]).rename("exposed_s")
    waited = waits.join(lengths_s).merge(kinds, on=["rank", "waits_for"])
    exposed_s = waited.groupby(keys)["exposed_s"].sum()
    covered_s = hidden_s(ops, ["rank", *keys]).groupby(keys).sum()
    table = pd.concat([exposed_s, covered_s, asked], axis=1).fillna(0.0)
    counts = dict.fromkeys(("transfers", "bytes", "wire_bytes", "unended"), "int64")
    table = table.sort_index().reset_index().astype(counts)
    nothing = (table["unended"] > 0) & (table["unended"] == table["transfers"])
    table["hidden_s"] = table["hidden_s"].mask(nothing)
    table.attrs = {
        "evidence": trace.run.evidence, "units": "s, bytes", "gaps": "; ".join(trace.problems),
    }  # fmt: skip
    return table


def measured_against_predicted(measured: Trace, predicted: Trace) -> pd.DataFrame:
    """What each kind of operation took, and what it was predicted to, summed over ranks.

    A row for each kind and name, and first one for the whole run (kind "run"): operations,
    measured_s, predicted_s, error = predicted / measured - 1 (NaN where nothing was measured), and
    the median of single operations' errors, median_error. Operations of which either never ended
    are left out of the sums: `unended` counts them. The two are of one program, row for row, as a
    recording and its replay are.

    Raises InputError where `measured` was not measured or `predicted` was, TraceError where the
    programs differ.
    """
    for trace, what in ((measured, "measured"), (predicted, "predicted")):
        if (trace.run.evidence == "predicted") != (what == "predicted"):
            raise InputError(f"expected a {what} trace and got one that was {trace.run.evidence}")
    joined = join(measured, predicted)
    sides = {"measured_s": "duration_s_left", "predicted_s": "duration_s_right"}
    rows = joined.rename(columns={"kind_left": "kind", "name_left": "name"}).rename(
        columns={old: new for new, old in sides.items()}
    )
    ended = rows[list(sides)].notna().all(axis=1)
    once = rows.assign(
        unended=(~ended).astype(int),
        error=(rows["predicted_s"] / rows["measured_s"].where(rows["measured_s"] > 0)) - 1,
        **{name: rows[name].where(ended, 0.0) for name in sides},
    )
    table = once.groupby(["kind", "name"], sort=True).agg(
        operations=("seq", "size"),
        measured_s=("measured_s", "sum"),
        predicted_s=("predicted_s", "sum"),
        median_error=("error", "median"),
        unended=("unended", "sum"),
    )
    totals = [summarize(trace).total_s for trace in (measured, predicted)]
    whole = pd.DataFrame(
        [["run", "", len(rows), *totals, math.nan, int((~ended).sum())]],
        columns=["kind", "name", *table.columns],
    )
    table = pd.concat([whole.dropna(axis=1), table.reset_index()], ignore_index=True)
    error = table["predicted_s"] / table["measured_s"].where(table["measured_s"] > 0) - 1
    table.insert(5, "error", error)
    table.attrs = {"measured": measured.run.network, "predicted": predicted.run.network}
    return table
