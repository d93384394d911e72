"""How fast codecs are beside a plain copy of the same tensor. Run by `make bench`.

A run keeps bases for every layer, far more than any cache holds, so that tensors come from memory:
here too, as each call takes another of many. A copy that never leaves the cache is printed as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import cycle
from time import perf_counter
from typing import NamedTuple

import pytest
import torch

from simnet.codecs.named import CODECS, FLUX_CHUNK, codec

pytestmark = pytest.mark.bench

DTYPES = [torch.float16, torch.float32]
BEYOND_CACHES_BYTES = 300e6
#: Of the speed of a copy from memory, on a CPU.
LEAST = {("1bit", torch.float16): 0.12, ("2bit", torch.float16): 0.07}


class Speed(NamedTuple):
    """Seconds a call, in the median."""

    copy_s: float
    cached_copy_s: float
    encode_s: float
    decode_s: float


def clocked(calls: Sequence[Callable[[], object]], rounds: int = 60) -> list[float]:
    """The median of each; in turn, so that what disturbs one disturbs all."""
    took_s: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, took_s, strict=True):
            began_s = perf_counter()
            call()
            times.append(perf_counter() - began_s)
    return [statistics.median(times) for times in took_s]


def measure(name: str, dtype: torch.dtype) -> Speed:
    """A codec on keys of FLUX.1-dev on 4 ranks, one layer's after the other."""
    chosen = codec(name).codec
    torch.empty(31 << 20, dtype=torch.uint8)  # given back at once: glibc then keeps as much at hand
    first = torch.randn(FLUX_CHUNK).to(dtype)
    xs = [first.clone() for _ in range(int(BEYOND_CACHES_BYTES / first.nbytes))]
    payloads = [chosen.encode(x) for x in xs]
    half = len(xs) // 2
    source, target, plain, coded = map(cycle, (xs, xs[half:] + xs[:half], xs, payloads))
    second = first.clone()
    (cached_copy_s,) = clocked([lambda: second.copy_(first)])
    copy_s, encode_s, decode_s = clocked(
        [
            lambda: next(target).copy_(next(source)),
            lambda: chosen.encode(next(plain)),
            lambda: chosen.decode(next(coded), FLUX_CHUNK, dtype),
        ]
    )
    return Speed(copy_s, cached_copy_s, encode_s, decode_s)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [name for name in CODECS if name != "raw"])
def test_a_codec_beside_a_copy(name: str, dtype: torch.dtype) -> None:
    """Encoding and decoding once, against copying once."""
    took = measure(name, dtype)
    nbytes = torch.empty(FLUX_CHUNK, dtype=dtype).nbytes
    copy, cached, encode, decode = (f"{nbytes / each_s / 1e9:.1f}" for each_s in took)
    share = took.copy_s / (took.encode_s + took.decode_s)
    least = LEAST.get((name, dtype), 0.0)
    bar = f"bar: {least:.0%}" if least else "no bar"
    print(
        f"\n{name}, {str(dtype).removeprefix('torch.')}: encodes {encode}, decodes {decode} GB/s; "
        f"a copy {copy}, in the cache {cached}; both take {share:.0%} of its speed ({bar})",
        end="",
    )
    assert share > least
