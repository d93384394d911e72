"""`thinwire train`: the small trained models' weights, from their data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.options import use_threads
from simnet.training.fashion import FOLDER

#: Batches between checkpoints.
_EVERY = 100


def train(
    *,
    model: str,
    out: Annotated[Path, Parameter(alias="-o")],
    data: Path = FOLDER,
    pictures: int | None = None,
    threads: int | None = None,
    seed: int = 0,
) -> None:
    """Train one of the small models on Fashion-MNIST, or go on with it.

    Interrupt it when you like: the same command goes on from the last checkpoint, which stands
    beside OUT and holds the loss of each batch as well. Two cores take about two hours. The
    classifier takes some minutes, and has no checkpoint.

    ```
    thinwire train --model dit-moe-tiny --out dit-moe-tiny.safetensors
    thinwire train --model fashion-classifier --out fashion-classifier.safetensors
    ```

    Parameters
    ----------
    model
        dit-fashion, dit-moe-tiny or fashion-classifier.
    out
        File to write the weights to.
    data
        Folder of the data's four files.
    pictures
        To learn from in all; the training set has 60,000, which come again and again. By default
        600,000.
    threads
        Of the processor; by default as many as it has cores.
    seed
        Of the first weights, the batches and the noise.
    """
    from simnet.commands.output import with_progress
    from simnet.denormals import without_denormals
    from simnet.training.subjects import Request, course

    use_threads(threads)
    chosen = course(model, Request(data, out, pictures, seed))
    left = chosen.batches - len(chosen.losses)
    with without_denormals():
        for progress in with_progress(f"training {model}", chosen.learn(), left):
            if progress.batch % _EVERY == 0:
                chosen.save()
                print(f"{progress.batch} of {chosen.batches} batches, {_recent(chosen.losses)}")
    print(f"{out}: {chosen.finish()}, {_recent(chosen.losses)}")


def _recent(losses: list[float]) -> str:
    """The mean of the last."""
    last = losses[-_EVERY:]
    return f"loss {sum(last) / len(last):.4f}"
