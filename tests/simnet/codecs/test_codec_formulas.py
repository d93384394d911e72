"""Each codec against its formula, its bytes and its error on Gaussian data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from simnet.codecs.named import CODECS, FLUX_CHUNK, codec, ratio
from simnet.codecs.raw import Raw
from simnet.codecs.top_one import TopOne

Matrix = NDArray[np.float64]
N, C = FLUX_CHUNK


def drawn(rows: int, columns: int, seed: int = 0) -> Tensor:
    """A Gaussian matrix in float32."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def through(name: str, x: Tensor) -> Tensor:
    """What comes out at the other end."""
    chosen = codec(name).codec
    return chosen.decode(chosen.encode(x), x.shape, x.dtype)


def nmse(name: str, x: Tensor) -> float:
    """Energy of the error over that of the matrix."""
    return float((through(name, x) - x).square().sum() / x.square().sum())


def sizes(x: Matrix) -> Matrix:
    """s_ij = c_j r_i / mean(r)."""
    c, r = np.abs(x).mean(axis=0), np.abs(x).mean(axis=1)
    s: Matrix = np.outer(r, c) / r.mean()
    return s


def one_bit(x: Matrix) -> Matrix:
    """+-s."""
    return np.where(x >= 0, 1, -1) * sizes(x)


def two_bit(x: Matrix) -> Matrix:
    """+-s/2 and +-2s."""
    s = sizes(x)
    return np.where(x >= 0, 1, -1) * np.where(np.abs(x) > s, 2 * s, s / 2)


def affine(levels: int) -> Callable[[Matrix], Matrix]:
    """To the nearest of so many levels and one from a column's least to its greatest."""

    def rounded(x: Matrix) -> Matrix:
        low, high = x.min(axis=0), x.max(axis=0)
        scale = (high - low) / levels
        nearest: Matrix = low + np.round((x - low) / scale) * scale
        return nearest

    return rounded


def sparse(x: Matrix) -> Matrix:
    """The largest of each 8 in a row."""
    blocks = x.reshape(len(x), -1, 8)
    largest = np.abs(blocks).max(axis=2, keepdims=True)
    return np.where(np.abs(blocks) == largest, blocks, 0).reshape(x.shape)


@pytest.mark.parametrize(
    ("name", "formula", "unlike"),
    [
        ("1bit", one_bit, 0.0),
        ("2bit", two_bit, 0.005),
        ("int4", affine(15), 0.005),
        ("int8", affine(255), 0.05),
        ("sparse", sparse, 0.0),
    ],
)
def test_a_codec_does_what_its_formula_says(
    name: str, formula: Callable[[Matrix], Matrix], unlike: float
) -> None:
    """In double precision; scales of half precision put a few elements on the next level."""
    x = drawn(96, 160)
    expected = torch.from_numpy(formula(x.double().numpy())).float()
    close = torch.isclose(through(name, x), expected, rtol=2e-3, atol=4e-3)
    assert float((~close).float().mean()) <= unlike


def test_fp8_is_within_a_sixteenth_of_each_element() -> None:
    """Three bits of mantissa."""
    x = drawn(96, 160)
    assert float(((through("fp8", x) - x).abs() / x.abs()).max()) < 1 / 16 + 1e-3


@pytest.mark.parametrize(("name", "slack"), [("lowrank:rank=8", 1.6), ("lowrank-int4:rank=8", 2.5)])
def test_low_rank_comes_close_to_the_best_there_is(name: str, slack: float) -> None:
    """That is the SVD's, for a spectrum that falls by a fifth from one value to the next."""
    left, right = torch.linalg.qr(drawn(128, 64))[0], torch.linalg.qr(drawn(96, 64, 1))[0]
    values = 0.8 ** torch.arange(64.0)
    best = float(values[8:].square().sum() / values.square().sum())
    assert best < nmse(name, left * values @ right.T) < slack * best


def test_low_rank_is_exact_where_there_is_no_more_than_that() -> None:
    """Up to half precision."""
    x = drawn(50, 4) @ drawn(4, 60, 1)
    assert nmse("lowrank:rank=4", x) < 1e-6


@pytest.mark.parametrize(
    ("name", "nbytes", "times"),
    [
        ("raw", 6_684_672, 1),
        ("1bit", 426_112, 15.69),
        ("2bit", 843_904, 7.92),
        ("int4", N * C // 2 + 4 * C, 3.97),
        ("int8", N * C + 4 * C, 1.99),
        ("fp8", N * C + 2 * C, 2.00),
        ("lowrank:rank=8", 2 * 8 * (N + C), 100.43),
        ("lowrank:rank=12", 2 * 12 * (N + C), 66.95),
        ("lowrank:rank=16", 2 * 16 * (N + C), 50.2),
        ("lowrank:rank=32", 2 * 32 * (N + C), 25.1),
        ("lowrank-int4:rank=32", 66_816, 100.05),
        ("sparse:m=8", N * C * 5 // 16, 6.4),
        ("sparse:m=16", N * C * 5 // 32, 12.8),
    ],
)
def test_a_chunk_of_flux_takes_the_published_bytes(name: str, nbytes: int, times: float) -> None:
    """CompactFusion's formulas, for 1088 tokens of 3072 channels in 16 bits."""
    chosen = codec(name).codec
    x = torch.empty(FLUX_CHUNK, dtype=torch.float16, device="meta")
    assert chosen.encode(x).nbytes == chosen.nbytes(FLUX_CHUNK, torch.float16) == nbytes
    assert x.nbytes / nbytes == pytest.approx(times, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "times"), [("1bit", 10.29), ("2bit", 6.35), ("lowrank-int4:rank=32", 22.0)]
)
def test_a_whole_image_takes_the_published_share(name: str, times: float) -> None:
    """28 steps, the first of which is sent raw."""
    chosen = codec(f"residual-{name}")
    whole = 28 * Raw().nbytes(FLUX_CHUNK, torch.float16)
    assert whole / chosen.wire_bytes(FLUX_CHUNK, torch.float16, 28) == pytest.approx(
        times, abs=0.05 if times > 20 else 0.005
    )


def test_ratios_of_the_table_are_those_of_the_chunk() -> None:
    """What `thinwire list codecs` shows."""
    shown = {name: round(ratio(kind), 2) for name, kind in CODECS.items()}
    assert shown == {
        "raw": 1.0,
        "1bit": 15.69,
        "2bit": 7.92,
        "int4": 3.97,
        "int8": 1.99,
        "fp8": 2.0,
        "lowrank": 25.11,
        "lowrank-int4": 100.05,
        "sparse": 6.4,
    }


@pytest.mark.parametrize(
    ("name", "expected"), [("1bit", 0.361), ("2bit", 0.148), ("int4", 0.0140), ("sparse", 0.568)]
)
def test_error_on_gaussian_data(name: str, expected: float) -> None:
    """One shot of CompactFusion's codecs; 1 - 2/pi = .363 of 1 bit, less what the scales fit."""
    assert nmse(name, drawn(544, 768)) == pytest.approx(expected, rel=0.015)


def test_the_last_block_of_a_row_may_be_shorter() -> None:
    """10 channels are a block of 8 and one of 2; each row keeps one of each."""
    x = drawn(5, 10)
    chosen = TopOne(8)
    kept = chosen.decode(chosen.encode(x), x.shape, x.dtype) != 0
    assert kept[:, :8].sum(1).tolist() == kept[:, 8:].sum(1).tolist() == [1] * 5


@pytest.mark.parametrize(("name", "level"), [("1bit", 1), ("2bit", 0.5)])
def test_a_loud_channel_and_a_loud_token_overshoot_where_they_meet(name: str, level: float) -> None:
    """There s is N/2 times too much, but no more than fits, with room to add a base."""
    x = torch.zeros(1088, 1088, dtype=torch.float16)
    x[0], x[:, 0] = 1000, 1000
    decoded = through(name, x)
    assert float(decoded[0, 0]) == pytest.approx(
        level * 65504 / (2 if name == "1bit" else 4), rel=1e-2
    )
    assert bool(decoded.isfinite().all())
