"""What the roofline needs to know of a processor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from traces.errors import InputError, unknown
from traces.units import GB


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A processor's rates. Raises InputError for one that is not positive."""

    name: str
    flops: float  # FLOP/s of large matrix products in 16 bit, as achieved
    flops_fp32: float  # FLOP/s in float32
    memory_bytes_per_s: float  # to and from its own memory, at most
    launch_s: float  # what a kernel takes at least, by being launched at all
    source: str  # where `flops` is from
    memory_bytes: float = math.inf  # that it has
    is_gpu: bool = False  # kernels are launched one by one, so that it pays to fuse them
    transfer_share: float = 0.0  # of the processor, that a transfer under way takes from computes
    # What diffusion transformers, and the best sizes, reach; what streaming kernels reach.
    flops_range: tuple[float, float] | None = None
    memory_range: tuple[float, float] | None = None

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
        if not 0 <= self.transfer_share < 1:
            raise InputError(
                f"device {self.name!r}: transfer_share is {self.transfer_share}, expected 0 or "
                "more, and less than 1"
            )
        for field in ("flops_range", "memory_range"):
            values = getattr(self, field)
            if values is not None and not 0 < values[0] <= values[1] < math.inf:
                raise InputError(
                    f"device {self.name!r}: {field} is {values}, expected two rates above zero, "
                    "the lower one first"
                )


# Sources. Peaks are the vendor's (data sheets; float32 without TF32, as is torch's default).
# `flops` is, in order of preference:
_MAMF = "largest rate measured over many sizes of matrix product (ml-engineering's MAMF table)"
# Model FLOP over published single-GPU time and peak; the best model of each, so still too low
# where that model spends time elsewhere.
_SEEN = "the largest share of the peak that a diffusion transformer was seen to reach on it: "
# Nothing measured: the mean of the 87, 81, 80, 78 and 73 % that A100 (SXM, PCIe), H100, B200 and
# GB200 reach in the MAMF table.
_ASSUMED = "80 % of the peak, as other GPUs reach in the MAMF table; not measured"

# `flops_range` goes from the smallest share of the peak that a diffusion transformer was seen to
# reach on the GPU to the largest rate known. Where none was seen: from what the slowest reach
# elsewhere (26 % of an A100, HunyuanDiT; 31 % of an H100, FLUX.1) up to the best of the MAMF table.
_LEAST, _MOST = 0.26, 0.87

#: What kernels that stream through memory reach of its peak; an estimate, no table of measurements.
_STREAMED = 0.80

#: PyTorch issues an operator in about 5 us, and a GPU that computes faster waits for it; an order
#: of magnitude, which depends on the host more than on the GPU.
_LAUNCH_S = 5e-6


#: NCCL's kernels occupy a multiprocessor for each of its channels as long as a transfer lasts; GPUs
#: without NVLink print "8 coll channels" (NVIDIA/nccl issue 1189, H20 over PCIe). Where a matrix
#: product fills the GPU exactly once, it takes up to twice as long meanwhile, for a second wave.
_CHANNELS = 8


class Peak(NamedTuple):
    """Of a data sheet: TFLOP/s dense in 16 bit and in 32 bit, TB/s, multiprocessors, and GB."""

    tflops: float
    tflops_fp32: float
    terabytes_per_s: float
    multiprocessors: int
    gigabytes: int


def _gpu(
    name: str, peak: Peak, best: float, source: str, shares: tuple[float, float] = (_LEAST, _MOST)
) -> Device:
    """`best` is the best share of the 16-bit peak that goes with `source`."""
    low, high = shares
    memory = 1e12 * peak.terabytes_per_s
    return Device(
        name=name,
        flops=best * peak.tflops * 1e12,
        flops_range=(low * peak.tflops * 1e12, max(high, best) * peak.tflops * 1e12),
        flops_fp32=1e12 * peak.tflops_fp32,
        memory_bytes_per_s=memory,
        memory_range=(_STREAMED * memory, memory),
        launch_s=_LAUNCH_S,
        is_gpu=True,
        memory_bytes=peak.gigabytes * GB,
        transfer_share=_CHANNELS / peak.multiprocessors,
        source=source,
    )


_ALL = (
    _gpu("t4", Peak(65, 8.1, 0.32, 40, 16), 0.80, _ASSUMED),
    _gpu("v100-sxm", Peak(125, 15.7, 0.9, 80, 32), 0.80, _ASSUMED),
    _gpu(
        "l20",
        Peak(119.5, 59.4, 0.864, 92, 48),
        0.84,
        _SEEN + "84 % of 119.5 TFLOP/s, HunyuanVideo 720p",
        (0.50, 0.84),
    ),
    _gpu(
        "l40",
        Peak(181.05, 90.5, 0.864, 142, 48),
        0.71,
        _SEEN + "71 % of 181.05 TFLOP/s, CogVideoX1.5 and FLUX.1",
        (0.39, 0.71),
    ),
    _gpu("l40s", Peak(362, 91.6, 0.864, 142, 48), 0.80, _ASSUMED),
    _gpu("rtx-4090", Peak(165.2, 82.6, 1.008, 128, 24), 0.80, _ASSUMED),
    _gpu("a100-pcie", Peak(312, 19.5, 1.94, 108, 80), 252.9 / 312, _MAMF, (0.26, 252.9 / 312)),
    _gpu("a100-sxm", Peak(312, 19.5, 2.04, 108, 80), 271.2 / 312, _MAMF, (0.26, 271.2 / 312)),
    _gpu(
        "h20",
        Peak(148, 44, 4.0, 78, 96),
        0.87,
        _SEEN + "87 % of 148 TFLOP/s, Wan2.1-14B with FlashAttention 3",
        (0.61, 0.87),
    ),
    _gpu("h100-pcie", Peak(756, 51.2, 2.0, 114, 80), 0.80, _ASSUMED),
    _gpu("h100-sxm", Peak(989, 67, 3.35, 132, 80), 794.5 / 989, _MAMF, (0.31, 794.5 / 989)),
    _gpu("h200", Peak(989, 67, 4.8, 132, 141), 794.5 / 989, _MAMF, (0.31, 794.5 / 989)),
    _gpu("b200", Peak(2250, 75, 8.0, 148, 180), 1745 / 2250, _MAMF, (_LEAST, 1745 / 2250)),
    _gpu("gb200", Peak(2500, 80, 8.0, 152, 192), 1822 / 2500, _MAMF, (_LEAST, 1822 / 2500)),
    _gpu("b300", Peak(2500, 80, 8.0, 148, 288), 0.80, _ASSUMED),
    _gpu("l4", Peak(121, 30.3, 0.3, 58, 24), 0.80, _ASSUMED),
    _gpu("a10", Peak(125, 31.2, 0.6, 72, 24), 0.80, _ASSUMED),
    _gpu("a40", Peak(149.7, 37.4, 0.696, 84, 48), 0.80, _ASSUMED),
    _gpu("rtx-a5000", Peak(111.1, 27.8, 0.768, 64, 24), 0.80, _ASSUMED),
    _gpu("rtx-a6000", Peak(154.8, 38.7, 0.768, 84, 48), 0.80, _ASSUMED),
    _gpu("rtx-2000-ada", Peak(96, 12, 0.224, 22, 16), 0.80, _ASSUMED),
    _gpu("rtx-6000-ada", Peak(364.2, 91.1, 0.96, 142, 48), 0.80, _ASSUMED),
    _gpu("rtx-3090", Peak(71, 35.6, 0.936, 82, 24), 0.80, _ASSUMED),
    _gpu("rtx-5090", Peak(209.5, 104.8, 1.792, 170, 32), 0.80, _ASSUMED),
    # One core of a server: 3 GHz, two 8-wide fused multiply-adds a cycle (AVX2), of which 80 %.
    # Reduced precision gains nothing there. For more than an idea, measure (simnet.costs).
    Device(
        name="cpu-core",
        flops=77e9,
        flops_range=(25e9, 96e9),  # unvectorised libraries to the peak; estimate
        flops_fp32=77e9,
        memory_bytes_per_s=10e9,
        memory_range=(5e9, 20e9),  # all cores busy to one alone; estimate
        launch_s=_LAUNCH_S,
        source="assumed: 80 % of 3 GHz x 2 x 8 multiply-adds; not measured",
    ),
)

DEVICES = {device.name: device for device in _ALL}


def device(name: str) -> Device:
    """A processor by name; "RTX4090" and "rtx-4090" are the same.

    Raises InputError for one that is not in the table.
    """
    for known, found in DEVICES.items():
        if _plain(known) == _plain(name):
            return found
    raise unknown("device", name, DEVICES)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
