"""Codecs on captured activations: against a plain loop, the closed form, and known answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.codec_replay import DEFAULT, WAYS, codec_replay, rate_distortion
from simnet.codecs.named import CODECS, codec
from simnet.codecs.recursion import State
from simnet.codecs.sign import OneBit
from traces.errors import InputError
from traces.trace import Trace

Array = NDArray[np.float32]
Record = Callable[..., Trace]
pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*place: int, shape: tuple[int, ...] = (1, 32, 24)) -> Array:
    """Independent Gaussian numbers, others for each place."""
    return np.random.default_rng(place).standard_normal(shape, np.float32)


def walk(rank: int, step: int) -> dict[str, Array]:
    """Two layers that change by a fifth a step, independently of what they are."""
    parts = [
        (1.0 if at == 0 else 0.2) * drawn(rank, at, shape=(1, 64, 48)) for at in range(step + 1)
    ]
    return {"hidden/0": np.sum(parts, axis=0), "hidden/4": -np.sum(parts, axis=0)}


def energy(x: torch.Tensor) -> float:
    """Sum of squares."""
    return float(x.double().square().sum())


@pytest.mark.parametrize("name", ["1bit", "lowrank:rank=4"])
def test_it_is_what_a_plain_loop_finds(name: str, record: Record) -> None:
    """Sender and receiver of each way, step after step, both ranks' errors added up."""
    found = codec_replay(record(walk, ranks=2), "hidden", codecs=[name]).sel(codec=name, layer=0)
    xs = [[torch.from_numpy(walk(r, s)["hidden/0"][0]) for s in range(6)] for r in (0, 1)]
    texts = (f"residual-{name}:error_feedback=0", name, f"residual-{name}", f"residual2-{name}")
    for way, text in zip(WAYS, texts, strict=True):
        lost = np.zeros(6)
        for mine in xs:
            sender: State = ()
            receiver: State = ()
            for step, x in enumerate(mine):
                coder = codec(text).at(step)
                payload, sender = coder.encode(sender, x)
                held, receiver = coder.decode(receiver, payload, x)
                lost[step] += energy(held - x)
        own = [sum(energy(mine[step]) for mine in xs) for step in range(6)]
        assert np.allclose(found["nmse"].sel(way=way), lost / own, rtol=1e-5)
    plain = codec(name).codec
    changes = [mine[3] - mine[2] for mine in xs]
    once = sum(energy(plain.decode(plain.encode(d), d.shape, d.dtype) - d) for d in changes)
    expected = once / sum(map(energy, changes))
    assert found["one_shot_nmse"].sel(order="residual")[3] == pytest.approx(expected, rel=1e-5)


def test_on_independent_changes_the_closed_form_holds(record: Record) -> None:
    """Within a few percent of the root mean square for 1 and 2 bits, at every step."""
    found = codec_replay(record(walk, steps=10), "hidden", codecs=["1bit", "2bit"])
    assert (found["nmse"].sel(step=0) == 0).all()
    for way in WAYS[:3]:
        of = found.sel(way=way, step=slice(1, None))
        assert np.allclose(np.sqrt(of["nmse"] / of["predicted_nmse"]), 1, atol=0.06)
    assert found["predicted_nmse"].sel(way="second order").isnull().all()


def test_the_closed_form_is_that_of_the_facts(record: Record) -> None:
    """Of a changing energy: naive d, without feedback a sum, with feedback e' = d (r + e)."""
    found = codec_replay(record(walk), "hidden", codecs=["1bit"]).isel(codec=0, layer=0)
    once = found["one_shot_nmse"].sel(order="residual").to_numpy()
    x = [walk(0, step)["hidden/0"].astype(float) for step in range(6)]
    off, total = 0.0, 0.0
    for step in range(1, 6):
        residual, own = (np.square(y).sum() for y in (x[step] - x[step - 1], x[step]))
        off = once[step] * (residual + off)
        total += once[step] * residual
        told = found["predicted_nmse"].sel(step=step)
        assert told.sel(way="with feedback") == pytest.approx(off / own, rel=1e-5)
        assert told.sel(way="without feedback") == pytest.approx(total / own, rel=1e-5)
        naive = found["one_shot_nmse"].sel(order="activation", step=step)
        assert told.sel(way="naive") == pytest.approx(float(naive))


def test_points_of_rate_and_distortion(record: Record) -> None:
    """Bits are those of the payloads, raw warm-up steps included; errors are pooled."""
    trace = record(walk, steps=4)
    found = codec_replay(trace, "hidden", codecs=["1bit", "int8"])
    points = rate_distortion(found).set_index(["codec", "way"])
    assert len(points) == 2 * len(WAYS)
    coded = 8 * OneBit().nbytes((64, 48), torch.float32) / (64 * 48)
    first = ("1bit", "with feedback")
    assert points["coded_bits_per_element"].at[first] == pytest.approx(coded)
    assert points["bits_per_element"].at[first] == pytest.approx((32 + 3 * coded) / 4)
    second = points["bits_per_element"].at["1bit", "second order"]
    assert second == pytest.approx((64 + 2 * coded) / 4)
    x = [np.square(walk(0, step)["hidden/0"].astype(float)).sum() for step in range(4)]
    nmse = found["nmse"].sel(codec="1bit", way="naive", layer=0).to_numpy()
    pooled = sum(nmse[s] * x[s] for s in (2, 3)) / (x[2] + x[3])
    assert points["pooled_nmse"].at["1bit", "naive"] == pytest.approx(pooled)


def test_by_default_every_codec_is_replayed(record: Record) -> None:
    """All but raw, which loses nothing."""
    found = codec_replay(record(walk, steps=3), "hidden")
    assert {str(name).partition(":")[0] for name in found["codec"].to_numpy()} == {*CODECS} - {
        "raw"
    }
    assert found.sizes["codec"] == len(DEFAULT)
    assert found["nmse"].notnull().all()


def test_what_does_not_change_is_kept_exactly_by_residuals(record: Record) -> None:
    """Their errors are 0; what the codec would lose of such a residual is NaN."""
    found = codec_replay(record(lambda *_: {"hidden/0": drawn(0)}), "hidden", codecs=["1bit"])
    assert (found["nmse"].sel(way="with feedback") == 0).all()
    assert (found["predicted_nmse"].sel(way="with feedback") == 0).all()
    assert found["one_shot_nmse"].sel(order="residual").isnull().all()


def test_a_loop_ends_at_the_first_step_that_is_missing(record: Record) -> None:
    """All later steps are gaps, of which the attribute tells."""

    def broken(rank: int, step: int) -> dict[str, Array]:
        return {} if step == 3 else {"hidden/0": drawn(rank, step)}

    found = codec_replay(record(broken), "hidden", codecs=["1bit"])
    there = found["nmse"].notnull().isel(codec=0, layer=0).to_numpy()
    assert there.tolist() == [[True, True, True, False, False, False]] * len(WAYS)
    reason = "rank 0: not kept, not finite, or after such a step"
    assert found.attrs["gaps"] == f"layer 0, step 3 to 5: {reason}"


def test_what_a_codec_cannot_send_is_a_gap(record: Record) -> None:
    """Beyond the range of half precision, in which scales travel."""
    huge = record(lambda _, step: {"hidden/0": drawn(step) * np.float32(1e6)}, steps=2)
    found = codec_replay(huge, "hidden", codecs=["1bit"])
    assert found["nmse"].isnull().all()
    assert "half precision" in found.attrs["gaps"]


def test_codecs_with_a_prefix_are_refused(record: Record) -> None:
    """For every way is replayed; and there must be such a codec."""
    with pytest.raises(InputError, match="without residual-"):
        codec_replay(record(walk), "hidden", codecs=["residual-1bit"])
    with pytest.raises(InputError, match="unknown codec"):
        codec_replay(record(walk), "hidden", codecs=["3bit"])
    assert math.isnan(
        codec_replay(record(walk, steps=2), "hidden", codecs=["1bit"])["pooled_nmse"][0, 0]
    )
