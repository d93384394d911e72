"""What figures draw is what it says: tables with known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from figures import bandwidth, differences, panels, pareto, roofline, speedup, style, vulnerability
from figures.comparable import comparable
from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.schedules.named import schedule
from traces.errors import InputError
from traces.trace import Trace

RATES = [1e8, 1e9, 1e10, 1e11]


def points(**totals_s: list[float]) -> pd.DataFrame:
    """Predicted latencies of schedules at RATES."""
    return bandwidth.table(
        {
            "schedule": name,
            "rate_bps": rate_bps,
            "total_s": total_s,
            "compute_s": 0.1,
            "evidence": "predicted",
            "network": "",
        }
        for name, row in totals_s.items()
        for rate_bps, total_s in zip(RATES, row, strict=True)
    )


def test_schedules_break_even_where_their_lines_cross() -> None:
    """Half a decade below 1 Gbit/s, for both are straight lines on the drawn axes."""
    found = bandwidth.break_even(points(a=[10, 1, 1, 1], b=[1, 10, 10, 10]))
    assert found[["first", "second"]].to_numpy().tolist() == [["a", "b"]]
    assert found["rate_bps"].iloc[0] == pytest.approx(10**8.5)
    assert found["total_s"].iloc[0] == pytest.approx(10**0.5)


@pytest.mark.parametrize("other", [[20, 2, 2, 2], [10, 1, 1, 1]])
def test_schedules_that_never_cross_break_even_nowhere(other: list[float]) -> None:
    """Neither where one is always ahead, nor where they are the same."""
    assert bandwidth.break_even(points(a=[10, 1, 1, 1], b=other)).empty


def test_speedup_is_over_the_first_schedule_at_the_same_rate() -> None:
    """And a gap where that has no latency."""
    both = points(a=[8, 4, 2, 1], b=[2, 2, 2, 2])
    lacking = both[~((both["schedule"] == "a") & (both["rate_bps"] == 1e9))]
    found = speedup.table(lacking).set_index(["subject", "rate_bps"])["speedup"]
    assert found["b"].tolist()[::2] == [4.0, 1.0]
    assert np.isnan(found["b", 1e9])
    assert (found["a"] == 1.0).all()
    with pytest.raises(InputError, match="two or more"):
        speedup.table(points(a=[1, 1, 1, 1]))


def quality(**rows: tuple[float, float]) -> pd.DataFrame:
    """Of (PSNR, bytes); infinite where pictures are the single device's."""
    return pd.DataFrame(
        [
            {
                "model": "m", "schedule": name, "steps": 10, "psnr_db": psnr_db,
                "psnr_error_db": 0.1, "wire_bytes_per_image": sent, "images": 8,
                "identical": 8 if np.isinf(psnr_db) else 0,
            }
            for name, (psnr_db, sent) in rows.items()
        ]
    )  # fmt: skip


def test_the_best_are_those_that_nothing_beats_in_both() -> None:
    """What sends nothing is no choice of what to send."""
    found = pareto.table(
        quality(single=(np.inf, 0), exact=(np.inf, 9), good=(40, 3), worse=(35, 4), cheap=(30, 1))
    )
    assert found.loc[found["best"], "subject"].tolist() == ["exact", "good", "cheap"]
    assert found["evidence"].unique().tolist() == ["measured"]
    with pytest.raises(InputError, match="no schedule sent anything"):
        pareto.table(quality(single=(np.inf, 0)))


def test_kernels_take_the_time_that_the_prediction_gives_them() -> None:
    """Of rank 0 of a predicted run, on its device, added up over two steps."""
    job = Job("dit-nano", ranks=2, steps=2, dtype="bfloat16", device="meta")
    cost = Roofline(device("l20"))
    trace = simulate(schedule("ring"), job, cost, NETWORKS["infinite"])
    found = roofline.table(trace)
    mine = trace.ops[(trace.ops["kind"] == "compute") & (trace.ops["rank"] == 0)]
    assert (found["time_s"] * found["count"]).sum() == pytest.approx(mine["cost_s"].sum())
    assert found["device"].unique().tolist() == ["l20"]
    assert (found["rate_flops"] <= found["roof_flops"]).all()


def test_pictures_are_compared_with_the_first_run_s(tmp_path: Path) -> None:
    """Of the same noise; one of another seed is left out, and models without pictures refused."""
    runs = {
        name: run_local(
            schedule(name), Job("dit-fashion", ranks, 2, seed=seed), tmp_path / f"{name}-{seed}",
            keep=["latent"],
        )
        for name, ranks, seed in (("single", 1, 0), ("ring/1bit", 2, 0), ("ring", 2, 1))
    }  # fmt: skip
    found = differences.table(runs)
    assert found["subject"].unique().tolist() == ["single", "ring/1bit"]
    single, coded = (found[found["subject"] == name] for name in ("single", "ring/1bit"))
    assert (single["difference"] == 0).all()
    assert coded["difference"].abs().max() > 1
    off = coded["brightness"].to_numpy() - single["brightness"].to_numpy()
    assert (off == coded["difference"].to_numpy()).all()
    nano = run_local(schedule("ring"), Job("dit-nano", 2, 2), tmp_path / "nano", keep=["latent"])
    with pytest.raises(InputError, match="random weights"):
        differences.table({"T": nano})
    assert list(comparable(runs, "latent")) == ["single", "ring/1bit"]
    with pytest.raises(InputError, match="no trace kept kv"):
        comparable(runs, "kv")


def test_vulnerability_names_the_study(tmp_path: Path) -> None:
    """A table that was read from a file has it still; one without is refused."""
    rows = pd.DataFrame(
        {"model": ["m"], "steps": [20], "images": [8], "evidence": ["measured"], "layer": [0],
         "error": [1.0], "psnr_db": [40.0], "criticality": [1]}
    )  # fmt: skip
    rows.to_csv(tmp_path / "V.csv", index=False)
    drawn = vulnerability.table(pd.read_csv(tmp_path / "V.csv"))
    assert drawn["subject"].tolist() == ["m, 20 steps, 8 images: one layer a step old"]
    assert drawn["evidence"].tolist() == ["measured"]
    with pytest.raises(InputError, match="column 'model' is missing"):
        vulnerability.table(rows.drop(columns="model"))


def test_gaps_are_shaded_where_nothing_is_known() -> None:
    """A step of which one curve has a number is none."""
    ax = style.figure(1.0).subplots()
    one = pd.Series([1.0, np.nan, np.nan, 4.0], index=[0, 1, 2, 3])
    assert panels.shade_gaps(ax, one)
    assert len(ax.patches) == 2
    other = pd.Series([np.nan, 1.0, 1.0], index=[0, 1, 2])
    assert not panels.shade_gaps(style.figure(1.0).subplots(), pd.concat([one, other]))


def test_what_a_run_is_called_is_short() -> None:
    """A schedule loses its parameters where they would not fit, and keeps its codec elsewhere."""
    job = Job("dit-nano", ranks=2, steps=2, device="meta")
    trace = simulate(schedule("ring"), job, Roofline(device("l20")), NETWORKS["infinite"])
    assert panels.about(trace) == "dit-nano, ring, 2 steps"
    long = replace(trace.run, schedule="dice:" + "p=1:" * 20)
    assert panels.about(Trace(long, trace.ops)) == "dit-nano, dice:…, 2 steps"
    with pytest.raises(InputError, match="unknown evidence 'guessed'"):
        panels.described(pd.DataFrame({"x": [1]}), "T", "guessed")
