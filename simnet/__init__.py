"""What would have happened: schedules run live, or simulated on a network you describe."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simnet.costs import Free, MeasuredCosts, Roofline
    from simnet.devices import Device, device
    from simnet.drivers.launch import run_distributed
    from simnet.drivers.local import run_local
    from simnet.drivers.replay import replay
    from simnet.drivers.simulated import simulate
    from simnet.job import Job
    from simnet.network.topology import Links
    from simnet.schedules.distrifusion import DistriFusion
    from simnet.schedules.named import schedule
    from simnet.schedules.ring import RingAttention

__all__ = [
    "Device",
    "DistriFusion",
    "Free",
    "Job",
    "Links",
    "MeasuredCosts",
    "RingAttention",
    "Roofline",
    "device",
    "replay",
    "run_distributed",
    "run_local",
    "schedule",
    "simulate",
]

# Imported when first used: a command that lists networks need not wait for torch.
_HOME = {
    "Device": "devices",
    "DistriFusion": "schedules.distrifusion",
    "Free": "costs",
    "Job": "job",
    "Links": "network.topology",
    "MeasuredCosts": "costs",
    "RingAttention": "schedules.ring",
    "Roofline": "costs",
    "device": "devices",
    "replay": "drivers.replay",
    "run_distributed": "drivers.launch",
    "run_local": "drivers.local",
    "schedule": "schedules.named",
    "simulate": "drivers.simulated",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'simnet' has no attribute {name!r}")
    return getattr(import_module(f"simnet.{_HOME[name]}"), name)
