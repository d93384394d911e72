"""`thinwire plan`: my model, my GPUs, my network, my budget; what should I run?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Json, NetworkChoice, comma_separated
from simnet.commands.output import print_json, with_progress
from traces.errors import InputError

if TYPE_CHECKING:
    from analysis.plan.answer import Answer
    from analysis.plan.quality import Source
    from analysis.plan.rows import Command
    from analysis.plan.setting import Setting

_ASK = NetworkChoice()
#: What is used in practice loses no more on the small models: DistriFusion 30 to 34 dB.
_WORTH_HAVING_DB = 30.0


def plan(
    choice: NetworkChoice = _ASK,
    *,
    model: str,
    gpu: Annotated[str, Parameter(alias="--device")],
    ranks: int = 4,
    batch: int = 1,
    steps: int | None = None,
    dtype: str = "bfloat16",
    min_quality: Annotated[float, Parameter(allow_leading_hyphen=True)] = _WORTH_HAVING_DB,
    max_memory: str | None = None,
    schedules: str | None = None,
    codecs: str | None = None,
    quality: Path | None = None,
    captured: Path | None = None,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    figure: Path | None = None,
    json: Json = False,
) -> None:
    """Find what to run: every schedule with every codec and degree, predicted and weighed.

    ```
    thinwire plan --model flux.1-dev --gpu l20 --ranks 4 --network ethernet-10g
    thinwire plan --model dit-moe-xl --gpu rtx-4090 --ranks 8 --batch 16 --network 8x4090-pcie
    thinwire plan --model flux.1-dev --gpu l20 --ranks 4 --network ethernet-1g --max-memory 12GB
    ```

    The fastest plan within the budget, the front of what nothing beats in latency, quality and
    memory, the bandwidths at which plans change places, and what more would buy.

    Parameters
    ----------
    model
        A model preset; `thinwire list models`.
    gpu
        What all ranks are; `thinwire list devices`.
    ranks
        How many there are.
    batch
        Images to make together, by all ranks.
    steps
        Denoising steps, by default as many as the model's publishers use.
    dtype
        Of weights and activations: float32, bfloat16 or float16.
    min_quality
        Decibels that pictures must have, against one device's, as measured on a small model.
    max_memory
        That a rank may take for weights and what is kept from step to step, such as 20GB; by
        default all that the GPU has.
    schedules
        Only these, separated by commas, without codecs; as `thinwire predict` takes them.
    codecs
        Only these, and none; `none` alone for no codec.
    quality
        A table of `thinwire quality --out`, in place of the one that comes along.
    captured
        A trace with `--keep kv` of your own model: codecs are judged by what they lose of that.
    out
        Folder for plan.csv and plan.parquet (every plan that was looked at), plan.json, plan.png.
    figure
        Draw latency against quality to this file.
    json
        Print all of it as JSON.
    """
    from analysis.plan.answer import Answer
    from analysis.plan.rows import command, to_json
    from analysis.plan.setting import Setting
    from analysis.plan.space import plans
    from simnet.devices import device
    from simnet.models.presets import preset

    count = preset(model).steps if steps is None else steps
    setting = Setting(model, ranks, count, batch, dtype, device(gpu), choice.links())
    asked = None if schedules is None else comma_separated(schedules)
    coded = None if codecs is None else [x for x in comma_separated(codecs) if x != "none"]
    tried = list(plans(ranks, asked, coded))
    _check_files(out, figure)
    source = _source(quality, captured, tried)
    budget = _budget(setting, max_memory, min_quality)
    answer = Answer.of(
        setting, tried, source, budget, lambda items, n: with_progress("simulating", items, n)
    )
    written = command(answer, _network_options(choice))
    answer.complete(lambda items, n: with_progress("comparing", items, n))
    _save(answer, written, out, figure)
    if json:
        print_json(to_json(answer, written))
        return
    from figures.plan_text import report

    report(answer, written)


def _source(quality: Path | None, captured: Path | None, tried: list[Any]) -> Source:
    from analysis.plan.quality import SHIPPED, Measured

    if captured is None:
        if quality is not None and not quality.exists():
            raise InputError(f"{quality}: does not exist; expected a table of `thinwire quality`")
        return Measured.open(SHIPPED if quality is None else quality)
    if quality is not None:
        raise InputError("give --quality or --captured, not both: their decibels do not compare")
    from analysis.plan.captured import Captured, coders
    from simnet.commands.output import open_common

    return Captured(open_common(captured), str(captured), coders(tried))


def _budget(setting: Setting, max_memory: str | None, min_quality: float) -> Any:
    from analysis.plan.search import Budget
    from traces.units import parse_bytes

    if math.isnan(min_quality):
        raise InputError("--min-quality is nan, expected decibels")
    has = setting.device.memory_bytes
    asked = has if max_memory is None else parse_bytes(max_memory)
    return Budget(min(has, asked), min_quality)


def _network_options(choice: NetworkChoice) -> str:
    """As they were given."""
    import shlex

    names = ("network", "rate", "latency", "collectives")
    given = [(name, getattr(choice, name)) for name in names]
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in given if value is not None)


def _check_files(out: Path | None, figure: Path | None) -> None:
    """Before the work, rather than after."""
    from figures import style

    if figure is not None:
        style.check(figure)
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out}: --out is a file; name a folder")


def _save(answer: Answer, written: Command, out: Path | None, figure: Path | None) -> None:
    if out is None and figure is None:
        return
    import json

    import pandas as pd

    from analysis.plan.rows import rows, to_json
    from figures import style
    from figures.plan import draw, table
    from traces.files import replacing, writing

    frame = pd.DataFrame(list(rows(answer, written)))
    setting = answer.setting
    subject = f"{setting.model} on {setting.ranks} x {setting.device.name}, {setting.network.name}"
    drawn = draw(table(frame, subject, answer.source.unit))
    if figure is not None:
        style.save(drawn, figure)
    if out is None:
        return
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "plan.csv") as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    with replacing(out / "plan.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    with replacing(out / "plan.json") as temporary:
        text = json.dumps(to_json(answer, written), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    style.save(drawn, out / "plan.png")
