"""Codecs replayed over a kept tensor once, for the figures that show the same replay."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from traces.trace import Trace

#: From a bit for a number to an eighth of the numbers, and low ranks.
CODECS = (
    "1bit", "2bit", "lowrank:rank=4", "lowrank:rank=16", "lowrank-int4:rank=16", "sparse:m=4",
    "sparse:m=16",
)  # fmt: skip


@lru_cache(maxsize=2)
def replayed(trace: Trace, tensor: str) -> xr.Dataset:
    """CODECS, as `analysis.codec_replay` has them. Raises InputError for an unknown tensor."""
    from analysis.codec_replay import codec_replay

    return codec_replay(trace, tensor, codecs=CODECS)
