"""`thinwire quality`: what schedules for slow networks cost in pictures and gain in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Json, comma_separated, use_threads
from simnet.commands.output import print_json, print_table, with_progress
from traces.errors import InputError
from traces.units import format_bytes, format_s

if TYPE_CHECKING:
    from analysis.quality.forecast import Forecast
    from analysis.quality.rows import Gallery
    from analysis.quality.study import Case

Row = Mapping[str, Any]


def quality(
    *,
    model: str,
    schedules: str,
    ranks: int = 4,
    steps: str = "50,20,10",
    images: int = 256,
    batch: int = 16,
    seed: int = 0,
    networks: str = "8x4090-pcie,ethernet-10g",
    gpu: str = "rtx-4090",
    predict_model: str | None = None,
    predict_images: int = 16,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    grid: Path | None = None,
    threads: int | None = None,
    json: Json = False,
) -> None:
    """Compare schedules by the pictures that they make, beside a single device's of the same noise.

    ```
    thinwire quality --model dit-moe-tiny --schedules expert,displaced-expert,interweaved,dice
    thinwire quality --model dit-fashion --schedules ring/residual-1bit,distrifusion --out Q.csv
    ```

    All ranks run in this process, on real tensors; every error comes back in the next step. Quality
    and bytes are measured there. Latency is predicted, of a larger model on real networks.
    Interrupt it when you like: the same command finds the rows that are in OUT, and makes the rest.

    Parameters
    ----------
    model
        A trained model: dit-fashion or dit-moe-tiny.
    schedules
        Schedules, separated by commas, with parameters and codecs as --schedule takes them. The
        single device's row comes by itself.
    ranks
        Number of ranks.
    steps
        Numbers of denoising steps, separated by commas.
    images
        To judge by: image i is drawn from noise i and is of class i modulo 10.
    batch
        Images at once; where ranks have images of their own, of each rank.
    seed
        Of the noise.
    networks
        To predict latency on: networks or network files, separated by commas; "" for none.
    gpu
        To predict compute times of; `thinwire list devices`.
    predict_model
        To predict the latency of; by default dit-moe-xl for a model with experts, else dit-xl-2.
    predict_images
        The batch of that.
    out
        File to keep the rows in, .csv or .parquet; rows that it has are not made again.
    grid
        File for a sample of each class by each schedule, .png, .svg or .pdf.
    threads
        Of the processor; by default as many as it has cores.
    json
        Print the rows as JSON.
    """
    from analysis.quality.forecast import Forecast, default_model
    from analysis.quality.results import Results
    from analysis.quality.rows import Gallery, rows
    from analysis.quality.study import KEY, Study, cases

    use_threads(threads)
    if grid is not None:
        from figures import style

        style.check(grid)
    chosen = cases(comma_separated(schedules), _numbers(steps))
    study = Study(model, ranks=ranks, images=images, batch=batch, seed=seed)
    named = tuple(comma_separated(networks))
    forecast = Forecast(predict_model or default_model(model), gpu, predict_images, named)
    gallery = Gallery(study, with_progress)
    made = list(rows(gallery, chosen, Results(out, KEY), forecast))
    if grid is not None:
        _draw(gallery, chosen, grid)
    if json:
        print_json(made)
    else:
        _print(made, forecast)


def _numbers(text: str) -> list[int]:
    """Those in "50,20"."""
    names = comma_separated(text)
    wrong = [name for name in names if not name.isdecimal()]
    if wrong:
        raise InputError(f"steps is {wrong[0]!r}, expected numbers such as 50,20,10")
    return [int(name) for name in names]


def _draw(gallery: Gallery, chosen: Sequence[Case], path: Path) -> None:
    """A row for each schedule; the number of steps is named where there are several."""
    from figures import samples, style
    from simnet.training.fashion import CLASSES

    several = len({case.steps for case in chosen}) > 1
    rows = {
        str(case) if several else case.name: gallery.first(case, len(CLASSES)).numpy()
        for case in chosen
    }
    style.save(samples.draw(samples.table(rows, CLASSES)), path)


def _print(made: Sequence[Row], forecast: Forecast) -> None:
    first = made[0]
    title = (
        f"{first['model']}: {first['images']} images, measured; latency predicted for "
        f"{forecast.model} on {forecast.gpu}"
    )
    measured = (
        "Fréchet to test set", "to single", "accuracy", "PSNR dB", "SSIM", "identical", "sent/image"
    )  # fmt: skip
    columns = (
        "schedule", "steps", *(f"measured\n{name}" for name in measured), "predicted\nimages",
        *(f"predicted\n{name}" for name in forecast.networks),
    )  # fmt: skip
    print_table(title, columns, [_cells(row, forecast) for row in made])
    for row in made:
        if row["notes"]:
            print(f"{row['schedule']}, {row['steps']} steps: {row['notes']}")


def _cells(row: Row, forecast: Forecast) -> list[str]:
    from analysis.quality.rows import latency_s

    share = [
        None if row[name] is None else 100 * row[name] for name in ("accuracy", "accuracy_error")
    ]
    return [
        row["schedule"],
        str(row["steps"]),
        _number(row["frechet_test"], 2),
        _number(row["frechet_single"], 2),
        _number(share[0], 1, share[1], " %"),
        "equal" if row["identical"] == row["images"] else _psnr(row),
        _number(row["ssim"], 3, row["ssim_error"]),
        _number(row["identical"], 0),
        format_bytes(row["wire_bytes_per_image"]),
        str(row["predict_images"]),
        *(format_s(latency_s(dict(row), name)) for name in forecast.networks),
    ]


def _psnr(row: Row) -> str:
    return _number(row["psnr_db"], 2, row["psnr_error_db"])


def _number(value: float | None, digits: int, error: float | None = None, unit: str = "") -> str:
    """With its standard error, where it has one; a dash for a gap."""
    if value is None:
        return "-"
    spread = "" if error is None else f" ± {error:.{digits}f}"
    return f"{value:.{digits}f}{spread}{unit}"
