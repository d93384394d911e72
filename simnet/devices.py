"""What the roofline needs to know of a processor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from traces.errors import InputError, unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A processor's rates. Raises InputError for one that is not positive."""

    name: str
    flops: float  # FLOP/s of large matrix products in 16 bit, as achieved
    flops_fp32: float  # FLOP/s in float32
    memory_bytes_per_s: float  # to and from its own memory
    launch_s: float  # what a kernel takes at least, by being launched at all
    source: str  # where `flops` is from

    def __post_init__(self) -> None:
        for field in ("flops", "flops_fp32", "memory_bytes_per_s"):
            value = getattr(self, field)
            if not 0 < value < math.inf:
                raise InputError(
                    f"device {self.name!r}: {field} is {value}, expected more than zero, and finite"
                )
        if not 0 <= self.launch_s < math.inf:
            raise InputError(
                f"device {self.name!r}: launch_s is {self.launch_s}, expected a time from 0 s up"
            )


# Sources. Memory and float32 rates are the vendor's peaks (data sheets; float32 without TF32, as
# is torch's default). `flops` is, in order of preference:
_MAMF = "largest rate measured over many sizes of matrix product (ml-engineering's MAMF table)"
# Model FLOP over published single-GPU time and peak; the best model of each, so still too low
# where that model spends time elsewhere.
_SEEN = "the largest share of the peak that a diffusion transformer was seen to reach on it: "
# Nothing measured: the mean of the 87, 81, 80, 78 and 73 % that A100 (SXM, PCIe), H100, B200 and
# GB200 reach in the MAMF table.
_ASSUMED = "80 % of the peak, as other GPUs reach in the MAMF table; not measured"

#: PyTorch issues an operator in about 5 us, and a GPU that computes faster waits for it; an order
#: of magnitude, which depends on the host more than on the GPU.
_LAUNCH_S = 5e-6

_ALL = (
    Device(
        name="l20", flops=0.84 * 119.5e12, flops_fp32=59.4e12, memory_bytes_per_s=0.864e12,
        launch_s=_LAUNCH_S, source=_SEEN + "84 % of 119.5 TFLOP/s, HunyuanVideo 720p",
    ),
    Device(
        name="l40", flops=0.71 * 181.05e12, flops_fp32=90.5e12, memory_bytes_per_s=0.864e12,
        launch_s=_LAUNCH_S, source=_SEEN + "71 % of 181.05 TFLOP/s, CogVideoX1.5 and FLUX.1",
    ),
    Device(
        name="rtx-4090", flops=0.80 * 165.2e12, flops_fp32=82.6e12, memory_bytes_per_s=1.008e12,
        launch_s=_LAUNCH_S, source=_ASSUMED,
    ),
    Device(
        name="a100-pcie", flops=252.9e12, flops_fp32=19.5e12, memory_bytes_per_s=1.94e12,
        launch_s=_LAUNCH_S, source=_MAMF,
    ),
    Device(
        name="a100-sxm", flops=271.2e12, flops_fp32=19.5e12, memory_bytes_per_s=2.04e12,
        launch_s=_LAUNCH_S, source=_MAMF,
    ),
    Device(
        name="h20", flops=0.87 * 148e12, flops_fp32=44e12, memory_bytes_per_s=4.0e12,
        launch_s=_LAUNCH_S, source=_SEEN + "87 % of 148 TFLOP/s, Wan2.1-14B with FlashAttention 3",
    ),
    Device(
        name="h100-sxm", flops=794.5e12, flops_fp32=67e12, memory_bytes_per_s=3.35e12,
        launch_s=_LAUNCH_S, source=_MAMF,
    ),
    Device(
        name="h200", flops=794.5e12, flops_fp32=67e12, memory_bytes_per_s=4.8e12,
        launch_s=_LAUNCH_S, source=_MAMF,
    ),
    # One core of a server: 3 GHz, two 8-wide fused multiply-adds a cycle (AVX2), of which 80 %.
    # Reduced precision gains nothing there. For more than an idea, measure (simnet.costs).
    Device(
        name="cpu-core", flops=77e9, flops_fp32=77e9, memory_bytes_per_s=10e9,
        launch_s=_LAUNCH_S, source="assumed: 80 % of 3 GHz x 2 x 8 multiply-adds; not measured",
    ),
)  # fmt: skip

DEVICES = {device.name: device for device in _ALL}


def device(name: str) -> Device:
    """A processor by name; raises InputError for one that is not in the table."""
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    return DEVICES[name]
