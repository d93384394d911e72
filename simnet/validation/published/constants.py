"""The constants of these predictions that are no machine's: few, each with its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Constants:
    """What holds for all machines and models alike. A term at 0 is left out."""

    #: A video's decoder takes this for each million pixels of all frames, on any GPU: totals less
    #: transformer parts of CogVideoX1.5 on H20 and L20 are 38 to 52 s for 84.6 million.
    video_s_per_mpx: float = 0.5
    #: An image's decoder, likewise, and what comes with each prompt (tokens, text encoder,
    #: scheduler): fitted.
    image_s_per_mpx: float = 0.03
    prompt_s: float = 0.7
    #: What a transfer under way over PCIe takes of a GPU's computing; fitted.
    pcie_share: float = 0.4
    #: Bytes that public ring attention reads and writes for each element of a partial result that
    #: it merges in float32 (a cast, two differences, a product), beyond what is simulated.
    merge_bytes: float = 30.0
    #: Eager PyTorch on a host issues one operation, and one transfer, in this; fitted.
    kernel_s: float = 50e-6
    transfer_s: float = 100e-6


CONSTANTS = Constants()
