"""What every codec keeps to, whatever it does to the numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simnet.codecs.base import Codec, check_finite
from simnet.codecs.low_rank import LowRank
from simnet.codecs.low_rank_int4 import LowRankInt4
from simnet.codecs.named import CODECS, codec
from simnet.codecs.raw import Raw
from simnet.codecs.top_one import TopOne
from simnet.costs import Call
from simnet.drivers.simulated import MetaMachine
from simnet.ops import Compute
from traces.errors import InputError

ALL: list[Codec] = [*(kind() for kind in CODECS.values()), TopOne(16), LowRank(3), LowRankInt4(2)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
EACH = pytest.mark.parametrize("chosen", ALL, ids=repr)
SHAPES = st.tuples(st.integers(1, 21), st.integers(1, 35))

#: Matrices that are hard on one codec or the other, from Gaussian ones.
MAKE: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": lambda x: x,
    "large": lambda x: 3000 * x,
    "tiny": lambda x: 1e-7 * x,
    "zero": torch.zeros_like,
    "constant": lambda x: torch.full_like(x, -1.5),
    "one element": lambda x: torch.zeros_like(x).index_fill_(1, torch.tensor([0]), 0.75),
    "loud row and channel": lambda x: 500 * ((x == x[0]) | (x == x[:, :1])).to(x.dtype),
}


def drawn(shape: tuple[int, int], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """A Gaussian matrix."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype)


def through(chosen: Codec, x: Tensor) -> Tensor:
    """What comes out at the other end."""
    return chosen.decode(chosen.encode(x), x.shape, x.dtype)


def bits(x: Tensor) -> bytes:
    """By which tensors are compared to the last bit."""
    return x.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


@settings(max_examples=150)
@given(
    chosen=st.sampled_from(ALL),
    dtype=st.sampled_from(DTYPES),
    shape=SHAPES,
    kind=st.sampled_from(sorted(MAKE)),
    seed=st.integers(0, 99),
)
def test_any_matrix_goes_through_any_codec(
    chosen: Codec, dtype: torch.dtype, shape: tuple[int, int], kind: str, seed: int
) -> None:
    """The payload is as long as was said; the result finite; the input as it was."""
    x = MAKE[kind](drawn(shape, dtype, seed))
    before = x.clone()
    payload = chosen.encode(x)
    assert (payload.dtype, payload.shape) == (torch.uint8, (chosen.nbytes(shape, dtype),))
    decoded = chosen.decode(payload, shape, dtype)
    assert (decoded.dtype, decoded.shape) == (dtype, shape)
    assert bool(decoded.isfinite().all())
    assert bits(x) == bits(before)
    assert bits(chosen.encode(before)) == bits(payload)


@settings(max_examples=100)
@given(chosen=st.sampled_from(ALL), dtype=st.sampled_from(DTYPES), shape=SHAPES)
def test_meta_tensors_show_the_same_shapes(
    chosen: Codec, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    """The simulator runs the code that runs live."""
    payload = chosen.encode(torch.empty(shape, dtype=dtype, device="meta"))
    assert (payload.is_meta, payload.nbytes) == (True, chosen.nbytes(shape, dtype))
    decoded = chosen.decode(payload, shape, dtype)
    assert (decoded.is_meta, decoded.shape, decoded.dtype) == (True, shape, dtype)


@EACH
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (9, 33), (1, 40), (40, 1)], ids=str)
def test_nothing_becomes_nothing(chosen: Codec, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    """Zeros come through as zeros, without a division by them."""
    assert not through(chosen, torch.zeros(shape, dtype=dtype)).any()


@pytest.mark.parametrize("chosen", [c for c in ALL if c.name != "sparse"], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [-1.5, 0.1, 3000.0])
def test_a_constant_comes_through(chosen: Codec, dtype: torch.dtype, value: float) -> None:
    """Nearly exact, except that the levels of 2 bits leave half of it to the next step."""
    x = torch.full((9, 33), value, dtype=dtype)
    expected = x / 2 if chosen.name == "2bit" else x
    torch.testing.assert_close(through(chosen, x), expected, rtol=0.01, atol=0)


@pytest.mark.parametrize("name", ["1bit", "int4", "int8", "fp8", "lowrank", "raw"])
@pytest.mark.parametrize("shape", [(1, 50), (50, 1)], ids=str)
def test_one_row_or_one_column_comes_through(name: str, shape: tuple[int, int]) -> None:
    """Where a scale is a single element's, or there are levels enough."""
    chosen, x = codec(name).codec, drawn(shape, torch.float32)
    rounding = {"int4": 1 / 15, "fp8": 1 / 16}.get(name, 0.01)
    worst = (through(chosen, x) - x).abs().max() / x.abs().max()
    assert worst <= rounding


@EACH
def test_a_payload_cut_out_of_a_buffer_reads_the_same(chosen: Codec) -> None:
    """Even where it starts at an odd address, as the second of two may."""
    x = drawn((7, 19), torch.float32)
    payload = chosen.encode(x)
    cut = torch.cat([torch.zeros(3, dtype=torch.uint8), payload])[3:]
    assert bits(chosen.decode(cut, x.shape, x.dtype)) == bits(through(chosen, x))


@EACH
def test_a_view_is_encoded_as_its_copy_is(chosen: Codec) -> None:
    """Such as keys whose heads and tokens have been exchanged."""
    x = drawn((24, 10), torch.float16).T
    assert bits(chosen.encode(x)) == bits(chosen.encode(x.contiguous()))


@EACH
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_scales_show_what_is_not_finite(chosen: Codec, poison: float) -> None:
    """So that looking at them is looking at all."""
    x = drawn((8, 16), torch.float32)
    x[5, 3] = poison
    scales = chosen.scales(chosen.encode(x), x.shape, x.dtype)
    assert not bool(scales.isfinite().all())


def test_what_is_not_finite_is_named_and_counted() -> None:
    """A meta tensor has nothing to look at."""
    x = torch.tensor([[1.0, float("nan")], [float("inf"), float("nan")]])
    with pytest.raises(InputError, match="v of layer 3 holds 2 NaN and 1 infinite values of 4"):
        check_finite(x, "v of layer 3")
    check_finite(x.to("meta"), "v of layer 3")


def test_a_sum_that_overflows_is_no_infinity() -> None:
    """The quick look is at the sum; the second one at the elements."""
    check_finite(torch.full((2, 2), 3e38), "x")


@EACH
def test_the_simulator_takes_a_codec_as_it_is(chosen: Codec) -> None:
    """Encoding is a compute like any other, and is counted once for each shape."""

    class Seconds:
        name = "by the kernel"
        transfer_share = 0.0

        def seconds(self, call: Call) -> float:
            return 1.0 + len(call.kernels)

    machine = MetaMachine(Seconds(), "float16")
    x = torch.empty(1088, 3072, dtype=torch.float16, device="meta")
    with torch.inference_mode():
        works = [machine(Compute(chosen.encode, x)) for _ in range(2)]
    assert works[0] is works[1]
    assert works[0].value.nbytes == chosen.nbytes(x.shape, x.dtype)
    assert (works[0].cost_s > 1) == (not isinstance(chosen, Raw))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowRank(0), "lowrank: rank is 0, expected 1 or more"),
        (lambda: LowRankInt4(-1), "lowrank-int4: rank is -1, expected 1 or more"),
        (lambda: TopOne(3), "sparse: m is 3, expected one of 1, 2, 4, 8, 16"),
    ],
)
def test_parameters_out_of_range_are_refused(make: Callable[[], Codec], message: str) -> None:
    """When the codec is made."""
    with pytest.raises(InputError, match=message):
        make()
