"""`thinwire mask`: which layers to keep synchronous, for a budget of time."""

from __future__ import annotations

from dataclasses import replace

from simnet.commands.options import Json, use_threads
from simnet.commands.output import print_json, print_table, with_progress
from simnet.models.presets import preset
from simnet.schedules.named import schedule
from traces.units import format_s


def mask(
    *,
    model: str = "dit-moe-tiny",
    budget: float = 0.85,
    ranks: int = 4,
    steps: int = 20,
    images: int = 40,
    batch: int = 10,
    network: str = "8x4090-pcie",
    gpu: str = "rtx-4090",
    predict_model: str = "dit-moe-xl",
    predict_images: int = 16,
    threads: int | None = None,
    json: Json = False,
) -> None:
    """Choose the layers to keep synchronous beside interweaved ones, for a budget of time.

    ```
    thinwire mask --budget 0.8 --network 8x4090-pcie
    ```

    Each layer of a trained model is made to use old outputs, alone, and what that does to pictures
    is measured. The most harmful layers stay synchronous, as many as the budget allows by what is
    predicted for a larger model.

    Parameters
    ----------
    model
        A trained model with experts.
    budget
        Of the latency with all layers synchronous, the share that may be taken.
    ranks
        Number of ranks, in both models.
    steps
        Denoising steps, in both.
    images
        To measure by.
    batch
        Images at once, of each rank.
    network
        To predict latency on.
    gpu
        To predict compute times of.
    predict_model
        To predict the latency of; its layers stand for the small model's at the same share of the
        depth.
    predict_images
        Of each rank, in that.
    threads
        Of the processor; by default as many as it has cores.
    json
        Print all of it as JSON.
    """
    from analysis.quality.forecast import Forecast
    from analysis.quality.mask import chosen_within, harms, masks
    from analysis.quality.study import Study

    use_threads(threads)
    study, every = Study(model, ranks, images, batch), preset(model).layers
    forecast = Forecast(predict_model, gpu, predict_images, (network,))
    for name in (model, predict_model):
        replace(forecast, model=name).check(schedule("interweaved"), ranks)
    found = list(with_progress(f"layers of {model}", harms(study, steps), every))
    rows = masks(found, forecast, ranks, steps)
    chosen = chosen_within(rows, budget)
    if json:
        measured, predicted = ([row._asdict() for row in table] for table in (found, rows))
        print_json({"measured": measured, "predicted": predicted, "chosen": chosen._asdict()})
        return
    print_table(
        f"{model}, {steps} steps, {images} images: one layer's outputs a step old (measured)",
        ("layer", "error, levels of 255"),
        [(harm.layer, f"{harm.error:.3f}") for harm in found],
    )
    print_table(
        f"{predict_model}, {steps} steps on {ranks} x {gpu}, {network} (predicted)",
        ("synchronous", f"of {model}", f"of {predict_model}", "latency", "share"),
        [(*row[:3], format_s(row.latency_s), f"{row.share:.3f}") for row in rows],
    )
    print(f"within {budget:g} of the time: interweaved:sync={chosen.sync} of {model},")
    print(f"interweaved:sync={chosen.predicted_sync} of {predict_model}")
