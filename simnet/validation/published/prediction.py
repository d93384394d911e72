"""From rows of a table to predictions of them, and the reasons where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from simnet.models.presets import preset
from simnet.validation.published.constants import CONSTANTS, Constants
from simnet.validation.published.machines import Machine, machine
from simnet.validation.published.models import NotRepresented, Shape, shape_of
from simnet.validation.published.predict import Predictor, Run
from simnet.validation.published.strategies import plan
from simnet.validation.published.table import Row, baseline
from traces.errors import InputError

#: Words in notes that say that only the transformer was timed.
_TRANSFORMER_ALONE = ("dit part", "per step", "s/it", "per iteration", "denoise")
#: Sources whose benchmark leaves out the decoder (--output_type latent), but of FLUX's pictures.
_LATENTS = ("xdit_assets", "pipefusion repo")
_COMPILED = ("compile", "onediff")


@dataclass(frozen=True)
class Predicted:
    """A row, and what is predicted of it."""

    row: Row
    seconds: float
    strategy: str  # its kind, "ulysses+cfg"
    link: str  # its kind, "PCIe"
    model: str  # the preset's name
    schedule: str

    @property
    def error(self) -> float:
        """Relative to what was published; above 0 where the prediction is too slow."""
        assert self.row.latency_s is not None
        return self.seconds / self.row.latency_s - 1


@dataclass(frozen=True)
class Missing:
    """A row, and why nothing is predicted of it."""

    row: Row
    reason: str


def predict_all(
    rows: Sequence[Row], constants: Constants = CONSTANTS
) -> Iterator[Predicted | Missing]:
    """One for each row on more than one GPU, in order."""
    for row in rows:
        if row.ngpu > 1:
            try:
                yield _predict(row, rows, constants)
            except NotRepresented as reason:
                yield Missing(row, str(reason))


def _predict(row: Row, rows: Sequence[Row], constants: Constants) -> Predicted:
    _refuse(row)
    shape = shape_of(row.model, row.resolution)
    chosen = plan(row, preset(shape.name))
    on = machine(row)
    alone = baseline(row, rows)
    if alone is None or alone.latency_s is None:
        raise NotRepresented("no run on one GPU to predict from")
    if not _is_eager(row) and _is_eager(alone):
        raise NotRepresented("compiled, where the run on one GPU is not")
    publishers = preset(shape.name).steps
    steps = _steps(row.steps, publishers)
    times = 1
    if steps == 1:  # a step of a whole run
        steps = times = publishers
    serial_s = _serial_s(row, shape, constants)
    device = on.device
    if on.kind != "NVLink":
        device = replace(device, transfer_share=constants.pcie_share)
    predictor = Predictor(device, on.network, constants)
    seconds, schedule = _fastest(
        predictor,
        [
            Run(
                shape.name, shape.split(chosen.parts), text, row.ngpu, steps,
                alone.latency_s * times, serial_s, eager=_is_eager(row),
            )
            for text in chosen.schedules
        ],
    )  # fmt: skip
    return Predicted(row, seconds / times, chosen.kind, on.kind, shape.name.split(":")[0], schedule)


def _steps(text: str, publishers: int) -> int:
    if text.lower() in ("", "n/s", "default"):
        return publishers
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) == 0:
        raise NotRepresented(f"{text:.20} steps")
    return int(text)


def _fastest(predictor: Predictor, runs: Sequence[Run]) -> tuple[float, str]:
    found: list[tuple[float, str]] = []
    refused = ""
    for run in runs:
        try:
            found.append((predictor.seconds(run), run.schedule))
        except InputError as error:
            refused = str(error)
    if not found:
        raise NotRepresented(f"a schedule that cannot run so: {refused}")
    return min(found)


def _refuse(row: Row) -> None:
    if row.latency_s is None:
        raise NotRepresented("runs that ran out of memory")
    if row.cached:
        raise NotRepresented("caches of whole steps are no schedule here")


def _is_eager(row: Row) -> bool:
    return not any(word in row.notes.lower() for word in _COMPILED)


def _serial_s(row: Row, shape: Shape, constants: Constants) -> float:
    """What comes beside the steps: the decoder, and what comes with each prompt."""
    notes, source = row.notes.lower(), row.source.lower()
    if any(word in notes for word in _TRANSFORMER_ALONE) or row.steps == "1":
        return 0.0
    if shape.frames > 1:
        return constants.video_s_per_mpx * shape.pixels * shape.frames / 1e6
    if source.startswith(_LATENTS) and not shape.name.startswith("flux"):
        return 0.0
    return constants.prompt_s + constants.image_s_per_mpx * shape.pixels / 1e6


__all__ = ["Machine", "Missing", "Predicted", "predict_all"]
