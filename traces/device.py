"""The name of what computes: a GPU's, or the processor's."""

from __future__ import annotations

import platform
from pathlib import Path


def describe_device(device: str) -> str:
    """A name for tables, of a device as torch writes it ("cuda:1", "cpu")."""
    if device.startswith("cuda"):
        import torch

        name: str = torch.cuda.get_device_name(device)
        return name
    return _processor()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
