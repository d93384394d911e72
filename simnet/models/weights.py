"""Weights that were trained, and come with the package in half precision."""

from __future__ import annotations

from importlib.resources import as_file, files

from torch import nn

from traces.errors import InputError


def load(model: nn.Module, name: str) -> None:
    """Fill a model with the weights that were trained for the shape of this name.

    Raises InputError where they are missing, or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with as_file(files("simnet.models") / "trained" / f"{name}.safetensors") as path:
        try:
            weights = load_file(path)
            buffers = dict(model.named_buffers())  # which are worked out, not trained
            model.load_state_dict(weights | buffers)
        except FileNotFoundError:
            raise InputError(
                f"{path}: the trained weights of {name} are missing; `thinwire train --model "
                f"{name} --out {path}` makes them"
            ) from None
        except (SafetensorError, RuntimeError) as error:
            raise InputError(f"{path}: not the weights of {name}: {error}") from None
