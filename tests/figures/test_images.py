"""Every figure looks as it did when somebody last looked at it, whatever rasterises its letters.

After a change that was meant, draw the pictures anew with `python tests/figures/test_images.py`,
and look at them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from figures import style
from figures.catalogue import FIGURES

BASELINE = Path(__file__).parent / "baseline"
DPI = 75
#: Root mean square of grey levels, of 255, after a blur that hides how letters are rasterised.
MOST = 4.0
RNG_SEED = 0
Tables = dict[str, Callable[[], pd.DataFrame]]


def rows(
    subject: str = "tiny, ring, 8 steps", evidence: str = "measured", **axes: Any
) -> pd.DataFrame:
    """A row for each combination of the axes' values."""
    frame = pd.DataFrame(list(product(*axes.values())), columns=list(axes))
    frame.insert(0, "subject", subject)
    frame.insert(1, "evidence", evidence)
    return frame


def timeline() -> pd.DataFrame:
    """Two ranks that compute, wait and send, measured and predicted."""
    bars = [
        ("compute", "compute", 0.0, 2.0), ("compute", "exposed", 2.0, 3.0),
        ("compute", "compute", 3.0, 5.0), ("network", "hidden", 0.5, 2.0),
        ("network", "exposed", 2.0, 3.0), ("step", "0", 0.0, 0.0), ("step", "1", 3.0, 3.0),
    ]  # fmt: skip
    found = pd.DataFrame(
        [(rank, *bar) for rank in range(2) for bar in bars],
        columns=["rank", "stream", "activity", "start_s", "end_s"],
    )
    parts = [
        found.assign(subject=name, evidence=name, title=f"{name}: ring", window="steps 0-1 of 8")
        for name in ("measured", "predicted")
    ]
    return pd.concat(parts, ignore_index=True)


def bandwidth() -> pd.DataFrame:
    """A schedule that sends much and one that computes much, which cross."""
    found = rows(schedule=["ring", "codec"], rate_bps=[1e8, 1e9, 1e10, 1e11])
    heavy = found["schedule"] == "ring"
    found["compute_s"] = np.where(heavy, 1.0, 2.0)
    found["total_s"] = found["compute_s"] + np.where(heavy, 3e9, 2e8) / found["rate_bps"]
    found["evidence"] = "predicted"
    found["network"] = np.where(found["rate_bps"] == 1e10, "ten-gig", "")
    measured = found.iloc[[1]].assign(evidence="measured", rate_bps=2e9)
    return pd.concat([found, measured], ignore_index=True)


def speedup() -> pd.DataFrame:
    """Two schedules, one without a latency at one rate."""
    rates = [1e8, 1e9, 1e10]
    found = rows("", "predicted", schedule=["ring", "codec"], rate_bps=rates, network=["", "lan"])
    found["subject"] = found.pop("schedule")
    gain = np.where(found["subject"] == "ring", 1.0, 8e8 / found["rate_bps"] + 0.7)
    found = found.assign(total_s=1 / gain, reference="ring", speedup=gain)
    found.loc[found["rate_bps"] == 1e9, "speedup"] = np.nan
    return found[(found["network"] == "") | (found["rate_bps"] == 1e10)]


def similarity() -> pd.DataFrame:
    """Steps that differ by how far they are apart; one step is missing."""
    found = rows(tensor=["k"], layer=[0, 3], step=range(8), other_step=range(8))
    apart = (found["step"] - found["other_step"]).abs()
    found["cosine"], found["relative_l2"] = 1 - apart / 10, apart / 5 * (1 + found["layer"] / 9)
    lost = (found["step"] == 5) | (found["other_step"] == 5)
    found.loc[lost, ["cosine", "relative_l2"]] = np.nan
    return found


def lags() -> pd.DataFrame:
    """Curves of two tensors."""
    found = rows(tensor=["hidden", "k"], measure=["cosine", "relative_l2"], lag=range(1, 8))
    growth = found["lag"] * np.where(found["tensor"] == "k", 0.05, 0.1)
    mean = np.where(found["measure"] == "cosine", 1 - growth, 2 * growth)
    return found.assign(mean=mean, spread=0.02 * found["lag"])


def residuals() -> pd.DataFrame:
    """Norms that fall, and no residual in the first step."""
    found = rows(tensor=["k"], layer=range(4), step=range(8))
    found["activation_norm"] = 100.0 - found["step"]
    found["residual_norm"] = (40.0 / (found["step"] + 1)).where(found["step"] > 0)
    found["second_residual_norm"] = (found["residual_norm"] / 2).where(found["step"] > 1)
    ratio = found["residual_norm"] / found["activation_norm"]
    return found.assign(residual_ratio=ratio * (1 + found["layer"]))


def published() -> pd.DataFrame:
    """A measured run beside diamonds."""
    found = rows(tensor=["k"], step=range(1, 8))
    found["progress"] = found["step"] / 7
    found["cosine"], found["residual_ratio"] = 0.98 - 0.01 * found["step"], 0.1 * found["step"]
    other = found.assign(subject="FLUX.1-dev, keys and values", evidence="published", cosine=0.95)
    return pd.concat([other, found], ignore_index=True)


def spectra() -> pd.DataFrame:
    """Two orders and noise, one step without a rank."""
    found = rows(
        tensor=["k"], quantity=["singular_value", "energy", "entropy_rank"],
        order=["activation", "residual", "Gaussian noise"], at=range(1, 9),
    )  # fmt: skip
    flat = found["order"].map({"activation": 0.5, "residual": 0.7, "Gaussian noise": 0.95})
    value = found["quantity"].map({"singular_value": 0, "energy": 1, "entropy_rank": 2})
    median = np.select(
        [value == 0, value == 1], [flat ** found["at"], 1 - flat ** found["at"]], 30 * flat
    )
    found = found.assign(low=median * 0.9, median=median, high=median * 1.1)
    gap = (found["quantity"] == "entropy_rank") & (found["order"] == "residual") & (found["at"] < 3)
    found.loc[gap, ["low", "median", "high"]] = np.nan
    return found


def errors() -> pd.DataFrame:
    """Three ways of a codec that grows, and of one with a gap."""
    ways = ["naive", "without feedback", "with feedback"]
    found = rows(tensor=["k"], codec=["1bit", "2bit"], way=ways, step=range(1, 8))
    scale = found["way"].map({"naive": 0.5, "without feedback": 0.1, "with feedback": 0.08})
    growth = np.where(found["way"] == "without feedback", np.sqrt(found["step"]), 1.0)
    error = scale * growth / np.where(found["codec"] == "2bit", 2, 1)
    found = found.assign(error=error, least=0.8 * error, most=1.2 * error, predicted=0.9 * error)
    found.loc[(found["codec"] == "2bit") & (found["step"] > 5), ["error", "least", "most"]] = np.nan
    return found


def rate_distortion() -> pd.DataFrame:
    """Codecs of rising rate, twice."""
    bits = {"1bit": 1.5, "2bit": 2.5, "sparse:m=4": 5.0, "lowrank:rank=4": 1.0}
    found = rows(tensor=["k"], codec=list(bits), way=["naive", "with feedback"])
    found["bits_per_element"] = found["codec"].map(bits)
    found["nmse"] = 10.0 ** -found["bits_per_element"] * np.where(found["way"] == "naive", 1, 0.1)
    return found.assign(predicted_nmse=found["nmse"] * 0.8)


def trajectory() -> pd.DataFrame:
    """A path, and one that drifts from it."""
    found = rows(run=["ring", "naive"], tensor=["k"], layer=[0, 5], step=range(8))
    drift = np.where(found["run"] == "naive", found["step"] / 4, 0.0)
    found["first"], found["second"] = found["step"] - 4.0, (found["step"] - 4.0) ** 2 / 4 + drift
    found["subject"] = found.pop("run")
    return found.assign(first_share=0.8, second_share=0.1, deviation=drift / 10)


def routing() -> pd.DataFrame:
    """Experts that are wanted by turns; one step is missing."""
    parts = [
        rows(layer=[0, 2], by=[by], at=range(count), expert=range(4))
        for by, count in (("step", 6), ("patch", 16), ("class", 5))
    ]
    found = pd.concat(parts, ignore_index=True)
    found["share"] = 2.0 * ((found["at"] + found["expert"] + found["layer"]) % 4) / 3
    found.loc[(found["by"] == "step") & (found["at"] == 3), "share"] = np.nan
    return found


def agreement() -> pd.DataFrame:
    """Measures that fall with the lag; ranks are not known."""
    names = ["top_1", "top_k", "jaccard", "weighted", "destination"]
    found = rows(measure=names, layer=[0, 1], step=range(8), lag=[1, 2, 3])
    place = found["measure"].map({name: place for place, name in enumerate(names)})
    value = 0.9 - 0.1 * found["lag"] + 0.02 * place - 0.03 * found["layer"]
    known = (found["step"] >= found["lag"]) & (found["measure"] != "destination")
    return found.assign(agreement=value.where(known))


def vulnerability() -> pd.DataFrame:
    """One layer without a number, one that does no harm."""
    found = rows("one layer a step old", layer=range(5))
    harm = [2.0, 4.5, np.nan, 3.0, 0.0]
    return found.assign(
        error=harm, psnr_db=[42.0, 36.5, np.nan, 39.0, np.inf], criticality=[3, 1, 5, 2, 4]
    )


def age() -> pd.DataFrame:
    """Of two transfers, one not used in the second step."""
    found = rows(transfer=["dispatch", "outputs, slot 0"], step=range(8), layer=range(4))
    old = np.minimum(found["step"], np.where(found["transfer"] == "dispatch", 1, 2)).astype(float)
    gap = (found["transfer"] == "dispatch") & (found["step"] == 1)
    return found.assign(age=np.where(gap, np.nan, old))


def roofline() -> pd.DataFrame:
    """Kernels bound by either, and one without products."""
    kernels = [("product", 1e9, 1e6, 10), ("attention", 2e8, 1e7, 5), ("layer_norm", 0, 1e7, 20)]
    found = pd.DataFrame(kernels, columns=["kernel", "flop", "bytes", "count"])
    found.insert(0, "subject", "tiny, ring, rank 0, bfloat16")
    time_s = np.maximum(found["flop"] / 1e14, found["bytes"] / 1e12) + 5e-6
    return found.assign(
        evidence="predicted", device="toy", time_s=time_s, rate_flops=found["flop"] / time_s,
        bound="memory", roof_flops=1e14, roof_bytes_per_s=1e12,
    )  # fmt: skip


def pictures() -> pd.DataFrame:
    """Two runs' pictures of two images, of which one is broken."""
    found = rows(run=["ring", "codec"], image=[0, 1], down=range(8), across=range(8))
    off = np.where(found["run"] == "codec", 3.0 * (found["down"] - 4), 0.0)
    broken = (found["run"] == "codec") & (found["image"] == 1)
    found["subject"] = found.pop("run")
    base = 25.0 * found["across"]
    return found.assign(brightness=(base + off).mask(broken), difference=off).assign(
        difference=lambda x: x["difference"].mask(broken)
    )


def pareto() -> pd.DataFrame:
    """Two costs; one schedule makes the same pictures as a single device."""
    found = rows(run=["ring", "codec", "stale"], steps=[10, 20], cost=["bytes an image", "lan"])
    place = found["run"].map({"ring": 3.0, "codec": 1.0, "stale": 4.0})
    unit = np.where(found["cost"] == "lan", 1.0, 1e7)
    quality = found["run"].map({"ring": np.inf, "codec": 35.0, "stale": 30.0}) + found["steps"] / 10
    found["subject"] = found.pop("run")
    found["evidence"] = np.where(found["cost"] == "lan", "predicted", "measured")
    return found.assign(
        value=place * found["steps"] / 10 * unit, quality_db=quality, quality_error_db=0.5,
        best=found["subject"] != "stale",
    )  # fmt: skip


def breakdown() -> pd.DataFrame:
    """A measured run and a predicted one."""
    found = rows("", run=["ring", "codec"], part=["compute", "exposed", "host", "hidden"])
    ring = found["run"] == "ring"
    parts = {"compute": (1.0, 1.4), "exposed": (2.0, 0.3), "host": (0.2, 0.0), "hidden": (0.1, 1.2)}
    times = [
        parts[part][run != "ring"] for run, part in zip(found["run"], found["part"], strict=True)
    ]
    found["subject"] = found.pop("run")
    found["evidence"] = np.where(ring, "measured", "predicted")
    return found.assign(network=np.where(ring, "gloo", "lan"), extent="4 ranks", time_s=times)


def critical_path() -> pd.DataFrame:
    """A run of many parts, and one with some that nobody can tell."""
    parts = [
        ("transfer", "world 0>1", "kv", 0.5), ("host", "", "", 0.2), ("idle", "", "", 0.1),
        ("unknown", "world 1>0", "kv", 0.06),
        *(("compute", "", f"kernel {n}", 0.05 / 2**n) for n in range(8)),
    ]  # fmt: skip
    found = pd.DataFrame(parts, columns=["kind", "line", "name", "share"])
    found = found.assign(evidence="measured", length_s=2 * found["share"])
    few = found.iloc[[0, 4]].assign(evidence="predicted", share=[0.9, 0.1], length_s=[0.9, 0.1])
    return pd.concat([found.assign(subject="many"), few.assign(subject="few")], ignore_index=True)


def utilisation() -> pd.DataFrame:
    """Three links, of which one is known in the first half only."""
    times = [0.01 * place + 0.005 for place in range(20)]
    found = rows(evidence="predicted", of=["link"], name=["a in", "a out", "b in"], time_s=times)
    found["busy"] = 0.5 + 0.5 * np.sin(40 * found["time_s"] + found["name"].map(len))
    found.loc[(found["name"] == "b in") & (found["time_s"] > 0.1), "busy"] = np.nan
    return found


def maps() -> pd.DataFrame:
    """A bright ring in the image, and channels that rise; one token is not known."""
    tokens = rows(tensor=["k"], by=["token"], layer=[0, 3], row=range(6), column=range(6))
    far = np.hypot(tokens["row"] - 2.5, tokens["column"] - 2.5)
    tokens["change"] = 0.3 / (1 + (far - 2) ** 2) * (1 + tokens["layer"])
    tokens.loc[3, "change"] = np.nan
    channels = rows(tensor=["k"], by=["channel"], layer=[0, 3], row=[-1], column=range(24))
    channels["change"] = 0.01 * channels["column"] * (1 + channels["layer"])
    return pd.concat([tokens, channels], ignore_index=True)


def imbalance() -> pd.DataFrame:
    """Loads that even out; one step is missing, and what it costs is known of the rest."""
    found = rows(measure=["expert", "rank", "slowdown"], layer=[0, 2], step=range(8))
    scale = found["measure"].map({"expert": 2.0, "rank": 1.0, "slowdown": 0.3})
    value = 1 + scale * (1 + found["layer"]) / (1 + found["step"])
    found["evidence"] = np.where(found["measure"] == "slowdown", "predicted", "measured")
    return found.assign(value=value.mask(found["step"] == 5))


def staleness() -> pd.DataFrame:
    """Errors that grow with age; of one layer nothing is known."""
    layers = rows(tensor=["k"], by=["layer"], layer=range(5), row=[-1], column=[-1], age=[1, 2, 4])
    layers["error"] = (0.1 * layers["age"] / (1 + layers["layer"])).mask(layers["layer"] == 3)
    tokens = rows(
        tensor=["k"], by=["token"], layer=[-1], row=range(6), column=range(6), age=[1, 2, 4]
    )
    tokens["error"] = 0.01 * tokens["age"] * (tokens["row"] + tokens["column"])
    return pd.concat([layers, tokens], ignore_index=True)


TABLES: Tables = {
    function.__name__.replace("_", "-"): function
    for function in (
        timeline, bandwidth, speedup, similarity, lags, residuals, published, spectra, errors,
        rate_distortion, trajectory, routing, agreement, vulnerability, age, roofline, pictures,
        pareto, breakdown, critical_path, utilisation, maps, imbalance, staleness,
    )
}  # fmt: skip


def picture(name: str, table: pd.DataFrame) -> Image.Image:
    """Of the figure of that table, small."""
    figure = FIGURES[name].draw(table)
    file = io.BytesIO()
    with style.look():
        figure.savefig(file, format="png", dpi=DPI)
    return Image.open(file).convert("L")


def baseline(name: str) -> Image.Image:
    """The picture that was looked at."""
    return Image.open(BASELINE / f"{name}.png").convert("L")


def distance(one: Image.Image, other: Image.Image) -> float:
    """In grey levels; pictures of another size are resized, for letters set the margins."""
    grey: list[NDArray[np.float64]] = [
        uniform_filter(np.asarray(each.resize(other.size), float), 3) for each in (one, other)
    ]
    return float(np.sqrt(np.mean((grey[0] - grey[1]) ** 2)))


def test_every_figure_has_a_picture_to_be_compared_with() -> None:
    """And there is no picture of a figure that is gone."""
    assert set(TABLES) == set(FIGURES)
    assert {path.stem for path in BASELINE.iterdir()} == set(FIGURES)


@pytest.mark.parametrize("name", TABLES)
def test_a_figure_looks_as_it_did(name: str) -> None:
    """Of the same size, and no grey level far off."""
    drawn, known = picture(name, TABLES[name]()), baseline(name)
    assert np.abs(np.subtract(drawn.size, known.size)).max() <= 2
    assert distance(drawn, known) < MOST


def test_another_figure_is_told_from_it() -> None:
    """What the comparison forgives is less than what tells one table from another."""
    other = similarity().assign(cosine=lambda x: x["cosine"] ** 3)
    assert distance(picture("similarity", other), baseline("similarity")) > MOST


def test_pictures_are_small() -> None:
    """All of them together."""
    assert sum(path.stat().st_size for path in BASELINE.iterdir()) < 1_500_000


if __name__ == "__main__":
    for name, make in TABLES.items():
        picture(name, make()).quantize(32).save(BASELINE / f"{name}.png", optimize=True)
