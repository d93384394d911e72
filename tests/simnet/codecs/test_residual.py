"""What sender and receivers remember, and how far the receivers are off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simnet.codecs.named import CODECS, FLUX_CHUNK, codec
from simnet.codecs.residual import Residual, Warmup
from simnet.codecs.sign import OneBit
from simnet.codecs.two_bit import TwoBit
from simnet.shapes import describe_shape
from traces.errors import InputError, ScheduleError

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
ORDERS = {
    "order 0": {"order": 0, "error_feedback": False},
    "order 1": {"order": 1},
    "order 1, open": {"order": 1, "error_feedback": False},
    "order 2": {"order": 2, "warmup_steps": 2},
    "order 2, longer": {"order": 2, "warmup_steps": 3, "decay": 0.9},
}
FEEDBACK = [name for name in ORDERS if name not in {"order 0", "order 1, open"}]


def bits(tensors: tuple[Tensor, ...]) -> list[bytes]:
    """By which states are compared to the last bit."""
    return [x.contiguous().view(-1).view(torch.uint8).numpy().tobytes() for x in tensors]


def wander(shape: tuple[int, int], steps: int, sd: float = 1.0, seed: int = 0) -> Iterator[Tensor]:
    """An activation that changes by Gaussian residuals of this deviation."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    for _ in range(steps):
        yield x
        x = x + sd * torch.randn(shape, generator=generator)


def errors(chosen: Residual, xs: Iterator[Tensor]) -> list[float]:
    """Of the receiver, per step, root mean square."""
    sender: tuple[Tensor, ...] = ()
    receiver: tuple[Tensor, ...] = ()
    off = []
    for step, x in enumerate(xs):
        payload, sender = chosen.at(step).encode(sender, x)
        decoded, receiver = chosen.at(step).decode(receiver, payload, x)
        off.append(float((decoded - x).square().mean().sqrt()))
    return off


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(CODECS)),
    order=st.sampled_from(FEEDBACK),
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 17), st.integers(1, 33)),
    steps=st.integers(1, 7),
    sd=st.sampled_from([0.0, 1e-3, 1.0, 300.0]),
    seed=st.integers(0, 99),
)
def test_with_feedback_all_ends_hold_the_same_to_the_bit(
    *,
    name: str,
    order: str,
    dtype: torch.dtype,
    shape: tuple[int, int],
    steps: int,
    sd: float,
    seed: int,
) -> None:
    """After every step: the sender, a receiver, and the sender as a receiver of its own block."""
    chosen = Residual(CODECS[name](), **ORDERS[order])  # type: ignore[arg-type]
    sender: tuple[Tensor, ...] = ()
    receiver: tuple[Tensor, ...] = ()
    for step, exact in enumerate(wander(shape, steps, sd, seed)):
        x, coder = exact.to(dtype), chosen.at(step)
        own = sender
        payload, sender = coder.encode(sender, x)
        over_the_wire = payload.clone()
        decoded, receiver = coder.decode(receiver, over_the_wire, x)
        own_block, own = coder.decode(own, payload, x)
        assert bits(sender) == bits(receiver) == bits(own)
        assert bits((decoded,)) == bits((own_block,)) == bits((sender[0],))
        assert payload.nbytes == coder.nbytes(shape, dtype)


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(CODECS)),
    dtype=st.sampled_from(DTYPES),
    steps=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_without_feedback_the_sender_goes_on_from_the_truth(
    name: str, dtype: torch.dtype, steps: int, seed: int
) -> None:
    """And a receiver from the sum of all that came."""
    chosen = Residual(CODECS[name](), error_feedback=False)
    sender: tuple[Tensor, ...] = ()
    receiver: tuple[Tensor, ...] = ()
    total = before = torch.zeros(0)
    for step, exact in enumerate(wander((6, 9), steps, 1.0, seed)):
        x = exact.to(dtype)
        payload, sender = chosen.at(step).encode(sender, x)
        decoded, receiver = chosen.at(step).decode(receiver, payload, x)
        coded = None if step == 0 else chosen.codec.encode(x - before)
        total = x if coded is None else total + chosen.codec.decode(coded, x.shape, dtype)
        assert bits(sender) == bits((x,))
        assert bits(receiver) == bits((decoded,)) == bits((total,))
        before = x


def by_hand(xs: list[Tensor], decay: float) -> list[Tensor]:
    """The second order's recursion, as it is written: what the receiver has after each step."""
    one_bit, held = OneBit(), []
    b, g = xs[1], xs[1] - xs[0]
    held += [xs[0], b]
    for x in xs[2:]:
        d2 = x - b - g
        q = one_bit.decode(one_bit.encode(d2), d2.shape, d2.dtype)
        b, g = b + g + q, decay * (g + q)
        held.append(b)
    return held


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_the_second_order_follows_its_formula(decay: float) -> None:
    """b' = b + g + Q(d2), g' = decay (g + Q(d2)), with d2 = x - b - g."""
    chosen = Residual(OneBit(), order=2, decay=decay, warmup_steps=2)
    xs = list(wander((12, 20), 8))
    state: tuple[Tensor, ...] = ()
    for step, (x, expected) in enumerate(zip(xs, by_hand(xs, decay), strict=True)):
        _, state = chosen.at(step).encode(state, x)
        torch.testing.assert_close(state[0], expected, rtol=1e-5, atol=1e-5)


def test_the_second_order_foresees_a_steady_change() -> None:
    """With nothing forgotten, what moves evenly needs no residual at all."""
    start, pace = torch.randn(2, 10, 10, generator=torch.Generator().manual_seed(0))
    line = [start + step * pace for step in range(6)]
    trend = Residual(OneBit(), order=2, decay=1.0, warmup_steps=2)
    assert max(errors(trend, iter(line))) < 1e-5
    assert min(errors(Residual(OneBit(), warmup_steps=2), iter(line))[2:]) > 0.1


@pytest.mark.parametrize(
    ("one", "one_shot", "closed"), [(OneBit(), 0.361, 0.76), (TwoBit(), 0.148, 0.416)]
)
def test_the_closed_loop_settles_where_it_should(
    one: OneBit | TwoBit, one_shot: float, closed: float
) -> None:
    """e / sd is near sqrt(delta / (1 - delta)): a step codes its residual and the last error."""
    off = errors(Residual(one), wander((192, 256), 16))
    settled = sum(off[-6:]) / 6
    assert settled == pytest.approx(closed, rel=0.02)
    assert settled == pytest.approx((one_shot / (1 - one_shot)) ** 0.5, rel=0.03)


@pytest.mark.parametrize(("one", "one_shot"), [(OneBit(), 0.361), (TwoBit(), 0.148)])
def test_without_feedback_the_error_is_a_random_walk_and_with_it_is_bounded(
    one: OneBit | TwoBit, one_shot: float
) -> None:
    """Its variance grows by delta sd^2 a step; that of the closed loop ends below delta + 1."""
    open_loop = errors(Residual(one, error_feedback=False), wander((128, 192), 30))
    for step in (1, 4, 9, 19, 29):
        assert open_loop[step] ** 2 == pytest.approx(step * one_shot, rel=0.04)
    closed_loop = errors(Residual(one), wander((128, 192), 30))
    assert max(closed_loop) ** 2 < 1.7 * one_shot
    assert closed_loop[29] == pytest.approx(closed_loop[9], rel=0.03)


def test_residuals_pay_where_activations_change_little() -> None:
    """At a seventh of the activation, as in the middle of FLUX's run, 1 bit is 5 times better."""
    changing = list(wander((96, 128), 10, sd=0.14))
    direct = errors(codec("1bit"), iter(changing))
    residual = errors(codec("residual-1bit"), iter(changing))
    assert direct[-1] > 5 * residual[-1]


def test_a_loud_channel_and_token_are_taken_back_by_feedback() -> None:
    """The overshoot where they meet is the next residual: a lone spike, which 1 bit sends well."""
    x = torch.zeros(64, 64)
    quiet, loud = x.clone(), x.clone()
    loud[0], loud[:, 0] = 1.0, 1.0
    off = errors(codec("residual-1bit"), iter([quiet, loud, loud, loud]))
    assert off[1] > 2 * float(loud.square().mean().sqrt())
    assert off[3] < off[1] / 5


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_what_is_kept_takes_the_memory_that_is_said(order: str) -> None:
    """At each end, after every step, those of the warm-up too; nothing before."""
    chosen = Residual(OneBit(), **ORDERS[order])  # type: ignore[arg-type]
    sender: tuple[Tensor, ...] = ()
    receiver: tuple[Tensor, ...] = ()
    for step, exact in enumerate(wander((5, 8), chosen.warmup_steps + 2)):
        x = exact.half()
        payload, sender = chosen.at(step).encode(sender, x)
        _, receiver = chosen.at(step).decode(receiver, payload, x)
        held = [sum(base.nbytes for base in state) for state in (sender, receiver)]
        assert held == [chosen.at(step).state_bytes((5, 8), torch.float16, step + 1)] * 2


def test_bases_of_flux_take_3_gb() -> None:
    """Keys and values of 57 layers and 4 ranks, one's own among them, in 16 bits."""
    each = codec("residual-1bit").state_bytes(FLUX_CHUNK, torch.float16, 28)
    assert 2 * 57 * 4 * each == pytest.approx(3.05e9, rel=1e-3)


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_meta_tensors_go_all_the_way(order: str) -> None:
    """States, payloads and results; a state can be an argument of a compute."""
    chosen = Residual(TwoBit(), **ORDERS[order])  # type: ignore[arg-type]
    x = torch.empty(9, 13, dtype=torch.float16, device="meta")
    sender: tuple[Tensor, ...] = ()
    receiver: tuple[Tensor, ...] = ()
    for step in range(5):
        coder = chosen.at(step)
        assert describe_shape((sender, x)).endswith("9x13:float16")
        payload, sender = coder.encode(sender, x)
        decoded, receiver = coder.decode(receiver, payload, x)
        assert (payload.nbytes, payload.is_meta) == (coder.nbytes(x.shape, x.dtype), True)
        assert (decoded.shape, decoded.dtype) == (x.shape, x.dtype)


def test_coders_of_one_kind_are_alike_whatever_the_tensor_is_called() -> None:
    """So that the simulator counts each once; those of a warm-up have another name."""
    chosen = codec("residual-1bit")
    key, value = chosen.named("k of layer 1"), chosen.named("v of layer 2")
    assert (key.kind, hash(key.kind)) == (value.kind, hash(value.kind))
    assert key.at(0) == value.at(0)
    assert key.kind != codec("residual-2bit").kind
    assert chosen.at(0).encode.__name__ == "encode_raw"
    assert isinstance(chosen.at(0), Warmup)
    assert chosen.at(1) is chosen


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(step: int, poison: float) -> None:
    """In a warm-up and afterwards."""
    chosen = codec("residual-1bit").named("v of layer 3")
    x = torch.ones(4, 8)
    _, state = chosen.at(0).encode((), x)
    x = x.index_fill(1, torch.tensor([2]), poison)
    with pytest.raises(InputError, match=r"v of layer 3 holds .* infinite values of 32"):
        chosen.at(step).encode(state if step else (), x)


def test_what_half_precision_cannot_scale_is_refused() -> None:
    """Rather than sent as infinity; raw takes it."""
    x = torch.full((4, 8), 1e6)
    with pytest.raises(InputError, match=r"k reaches 1e\+06, beyond what half precision .* raw"):
        codec("1bit").named("k").encode((), x)
    payload, _ = codec("raw").encode((), x)
    assert torch.equal(codec("raw").decode((), payload, x)[0], x)


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Residual(OneBit(), order=3), InputError, "order of the residual is 3"),
    (lambda: Residual(OneBit(), order=0), InputError, "order 0 has no residual, and so no error"),
    (
        lambda: Residual(OneBit(), order=2, error_feedback=False, warmup_steps=2),
        InputError,
        "order 2 needs error feedback: set it to True",
    ),
    (lambda: Residual(OneBit(), order=2), InputError, "warm-up steps are 1, expected 2 or more"),
    (lambda: Residual(OneBit(), warmup_steps=0), InputError, "expected 1 or more"),
    (
        lambda: Residual(OneBit(), order=2, warmup_steps=2, decay=1.5),
        InputError,
        "decay is 1.5, expected 0 to 1",
    ),
    (
        lambda: Residual(OneBit()).encode((), torch.ones(2, 2)),
        ScheduleError,
        "0 matrices are known of earlier steps, expected 1: start with 1 warm-up",
    ),
    (
        lambda: Residual(OneBit()).encode((), torch.ones(2, 2, 2)),
        InputError,
        r"is \(2, 2, 2\) of torch.float32, expected a matrix",
    ),
    (
        lambda: codec("1bit").encode((), torch.ones(2, 2, dtype=torch.float64)),
        InputError,
        "torch.float64, expected a matrix .* in float32, float16, bfloat16",
    ),
    (lambda: codec("1bit").encode((), torch.ones(0, 2)), InputError, "expected a matrix"),
    (
        lambda: codec("1bit").decode((), OneBit().encode(torch.ones(2, 2)), torch.ones(9, 9)),
        ScheduleError,
        "a payload of 9 bytes came, expected 47",
    ),
    (
        lambda: codec("residual-1bit").at(0).decode((), torch.ones(3).byte(), torch.ones(1, 1)),
        ScheduleError,
        "a payload of 3 bytes came, expected 4",
    ),
]


@pytest.mark.parametrize(("act", "error", "message"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_does_not_fit_is_refused(
    act: Callable[[], object], error: type[Exception], message: str
) -> None:
    """Saying what was expected instead."""
    with pytest.raises(error, match=message):
        act()
