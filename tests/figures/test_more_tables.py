"""Tables of figures of time, staleness, change and routing: their sums, gaps and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analysis.tensors import grid
from figures import breakdown, critical, imbalance, maps, staleness, utilisation
from figures.places import on_image
from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.schedules.named import schedule
from traces.errors import InputError
from traces.summary import summarize
from traces.trace import Trace


@pytest.fixture(scope="module")
def predicted() -> dict[str, Trace]:
    """Two schedules on a slow network."""
    job, costs = Job("dit-nano", ranks=2, steps=3), Roofline(device("l20"))
    names = ("ring", "distrifusion")
    return {name: simulate(schedule(name), job, costs, NETWORKS["ethernet-1g"]) for name in names}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A run whose ranks each kept a part of the image."""
    folder = tmp_path_factory.mktemp("kept") / "T"
    return run_local(schedule("ring"), Job("dit-nano", 2, 4), folder, keep=["kv"])


def test_parts_of_the_time_add_up_to_it(predicted: dict[str, Trace]) -> None:
    """Those of the breakdown but what is hidden, and those of the critical path, too."""
    parts = breakdown.table(predicted)
    paths = critical.table(predicted)
    for name, trace in predicted.items():
        total_s = pytest.approx(summarize(trace).total_s)
        shown = parts[(parts["subject"] == name) & (parts["part"] != "hidden")]
        assert shown["time_s"].sum() == total_s
        assert paths.loc[paths["subject"] == name, "length_s"].sum() == total_s
    assert paths.groupby("subject")["share"].sum().to_numpy() == pytest.approx(1.0)
    assert set(parts["evidence"]) == set(paths["evidence"]) == {"predicted"}


def test_links_are_shown_of_a_prediction(predicted: dict[str, Trace]) -> None:
    """From the beginning to the end, and never fuller than full."""
    rows = utilisation.table(predicted["ring"])
    assert set(rows["of"]) == {"link"}
    assert rows["busy"].between(0, 1 + 1e-9).all()
    assert rows["busy"].max() > 0.5
    assert rows["time_s"].max() < summarize(predicted["ring"]).total_s


def test_communicators_are_shown_of_a_network_that_is_not_known(tmp_path: Path) -> None:
    """Such as one of a file; a run with free transfers has neither."""
    job, costs = Job("dit-nano", ranks=2, steps=2), Roofline(device("l20"))
    free = simulate(schedule("ring"), job, costs, NETWORKS["infinite"])
    assert set(utilisation.table(free)["of"]) == {"line"}
    local = run_local(schedule("ring"), job, tmp_path / "T")
    with pytest.raises(InputError, match="transfers were free"):
        utilisation.table(local)


def test_tokens_of_ranks_make_an_image(kept: Trace) -> None:
    """Theirs follow each other where each has a part; of whole images the mean is taken."""
    side = on_image(kept, xr.DataArray(np.zeros((2, 1)), dims=("rank", "token"))).sizes
    assert dict(side) == {"row": 1, "column": 1}  # of nothing that the model's images have
    rows = staleness.table(kept, "k")
    tokens = rows[(rows["by"] == "token") & (rows["age"] == 1)]
    down, across = tokens["row"].nunique(), tokens["column"].nunique()
    assert (1, down, across) == grid(kept)
    numbers = np.arange(float(down * across))
    parts = xr.DataArray(numbers.reshape(2, -1), dims=("rank", "token"))
    assert (on_image(kept, parts).to_numpy() == numbers.reshape(down, across)).all()
    whole = xr.DataArray(np.stack([numbers, numbers + 2]), dims=("rank", "token"))
    assert (on_image(kept, whole).to_numpy() == (numbers + 1).reshape(down, across)).all()


def test_change_of_tokens_is_the_error_of_those_a_step_old(kept: Trace) -> None:
    """The two come by different ways; of the same steps and layers they are nearly the same."""
    changed = maps.table(kept, "k")
    old = staleness.table(kept, "k")
    token = changed[changed["by"] == "token"].groupby(["row", "column"])["change"].mean()
    error = old[(old["by"] == "token") & (old["age"] == 1)].set_index(["row", "column"])["error"]
    np.testing.assert_allclose(token, error.loc[token.index], rtol=0.1)
    channels = changed[changed["by"] == "channel"]
    assert set(channels["row"]) == {-1}
    assert channels["change"].notna().all()


def test_what_cannot_be_predicted_is_a_gap(tmp_path: Path) -> None:
    """Ranks for which the machine has no place leave the loads, measured, and no slowdown."""
    job = Job("dit-moe-nano", ranks=2, steps=2)
    run = run_local(schedule("expert"), job, tmp_path / "T", keep=["chosen"])
    rows = imbalance.table(run)
    loads = rows[rows["measure"] != "slowdown"]
    assert (loads["value"] >= 1).all()
    assert (loads["evidence"] == "measured").all()
    slower = rows[rows["measure"] == "slowdown"]
    assert (slower["evidence"] == "predicted").all()
    assert (slower["value"] > 0).all()
    alone = run_local(
        schedule("expert"), Job("dit-moe-nano", 1, 2), tmp_path / "U", keep=["chosen"]
    )
    none = imbalance.table(alone)
    assert none.loc[none["measure"] == "slowdown", "value"].isna().all()
    imbalance.draw(none)
