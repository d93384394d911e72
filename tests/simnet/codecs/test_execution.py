"""Fused arithmetic does what plain arithmetic does, and is counted as what it is."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor

from simnet.codecs.execution import Eager, Fused
from simnet.codecs.named import CODECS, FLUX_CHUNK, codec
from simnet.codecs.residual import fused
from simnet.counting import count

FUSIBLE = ["1bit", "2bit", "fp8", "int4", "int8", "sparse"]
CHUNK_BYTES = 1088 * 3072 * 2


@pytest.mark.parametrize("name", sorted(CODECS))
def test_a_codec_is_fused_where_it_can_be(name: str) -> None:
    """A QR is a kernel of its own, and raw has no arithmetic."""
    plain = codec(f"residual-{name}")
    assert fused(plain).execution == (Fused() if name in FUSIBLE else Eager())
    assert fused(plain).codec == plain.codec
    assert (fused(plain) == plain) == (name not in FUSIBLE)


@pytest.mark.parametrize("prefix", ["", "residual-", "residual2-"])
@pytest.mark.parametrize("name", FUSIBLE)
def test_meta_tensors_show_the_same_shapes_fused(prefix: str, name: str) -> None:
    """As without."""
    plain = codec(prefix + name)
    x = torch.empty(9, 17, dtype=torch.float16, device="meta")
    sender: tuple[Tensor, ...] = ()
    for step in range(plain.warmup_steps):
        _, sender = plain.at(step).encode(sender, x)
    for chosen in (plain, fused(plain)):
        payload, after = chosen.encode(sender, x)
        decoded, receiver = chosen.decode(sender, payload, x)
        assert payload.nbytes == plain.nbytes(x.shape, x.dtype)
        for known in (decoded, *after, *receiver):
            assert (known.shape, known.dtype, known.is_meta) == (x.shape, x.dtype, True)
        assert len(after) == len(receiver) == len(sender)


def test_fused_kernels_touch_what_they_must() -> None:
    """1 bit: three passes over x and base, one that brings the base forward; and its like alone."""
    chosen = fused(codec("residual-1bit"))
    x = torch.empty(FLUX_CHUNK, dtype=torch.float16, device="meta")
    (payload, state), kernels = count(chosen.encode, ((x,), x))
    forward = payload.nbytes + 2 * CHUNK_BYTES
    assert [kernel.bytes for kernel in kernels] == [
        *[2 * CHUNK_BYTES + 4 * sum(FLUX_CHUNK)] * 2,
        2 * CHUNK_BYTES + payload.nbytes,
        forward,
    ]
    _, kernels = count(chosen.decode, (state, payload, x))
    assert [kernel.bytes for kernel in kernels] == [forward]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")  # the compiler's own are not ours
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("name", ["residual-1bit", "residual-2bit"])
def test_compiled_arithmetic_equals_the_plain(name: str, dtype: torch.dtype) -> None:
    """To the rounding of scales, which puts few elements on another level; ends agree exactly."""
    plain, compiled = codec(name), fused(codec(name))
    x = torch.randn(48, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    _, state = plain.at(0).encode((), x)
    payload, (sent,) = compiled.encode(state, -x)
    assert payload.nbytes == plain.nbytes(x.shape, dtype)
    decoded, (received,) = compiled.decode(state, payload, x)
    assert torch.equal(sent, received)
    assert torch.equal(decoded, received)
    expected, _ = plain.decode(state, plain.encode(state, -x)[0], x)
    unlike = ~torch.isclose(decoded, expected, rtol=5e-3, atol=5e-3)
    assert float(unlike.float().mean()) < 0.005
