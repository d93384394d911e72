"""The header of a captured trace: what can be told of a program from outside."""

from __future__ import annotations

from datetime import UTC, datetime

import torch
import torch.distributed as dist
from torch import nn

from traces.device import describe_device
from traces.run import Run
from traces.versions import versions


def device_of(model: nn.Module) -> torch.device:
    """Where its first parameter is."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def header(model: nn.Module, ranks: int) -> Run:
    """Of a recording that begins now; how many steps there will be, nobody knows."""
    real = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    return Run(
        model=type(model).__name__,
        schedule="captured",
        ranks=ranks,
        steps=0,
        driver="captured",
        device=describe_device(str(device_of(model))),
        network=f"{_backend()}, as found" if ranks > 1 else "none",
        dtype=str(next(real, torch.float32)).removeprefix("torch."),
        versions=versions(),
        started=datetime.now(UTC).isoformat(),
    )


def _backend() -> str:
    return dist.get_backend() if dist.is_available() and dist.is_initialized() else "alone"
