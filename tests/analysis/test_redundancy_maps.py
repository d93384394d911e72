"""Where a tensor changes: planted tokens and channels, and a plain reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.redundancy_maps import redundancy_maps
from traces.errors import InputError
from traces.trace import Trace

Array = NDArray[np.float32]
Record = Callable[..., Trace]
#: A model whose image is 6 rows of 8 tokens.
MODEL = "dit-nano"


def drawn(*place: int, shape: tuple[int, ...] = (2, 48, 5)) -> Array:
    """Independent Gaussian numbers, others for each place."""
    return np.random.default_rng(place).standard_normal(shape, np.float32)


def test_the_token_that_changes_is_where_it_is_in_the_image(record: Record) -> None:
    """All others stay as they were: exactly no change, and a cosine of 1."""
    still = drawn(0)

    def one_moves(rank: int, step: int) -> dict[str, Array]:
        del rank
        moved = still.copy()
        moved[:, 2 * 8 + 3] *= np.float32(1 + step)
        return {"hidden/0": moved}

    found = redundancy_maps(record(one_moves, model=MODEL), "hidden")
    assert found["token_relative_l2"].dims == ("layer", "step", "row", "column")
    first = found["token_relative_l2"][0, 1]
    assert first.shape == (6, 8)
    assert np.argwhere(first.to_numpy()).tolist() == [[2, 3]]
    assert first[2, 3] == pytest.approx(0.5)
    assert np.allclose(found["token_cosine"][0, 1:], 1)
    assert np.isnan(found["token_cosine"][0, 0]).all()


def test_it_is_what_a_plain_reference_finds(record: Record) -> None:
    """Ranks that each have part of the tokens together make the image; channels take all."""
    trace = record(
        lambda rank, step: {"hidden/3": drawn(rank, step, shape=(2, 24, 5))}, ranks=2, model=MODEL
    )
    found = redundancy_maps(trace, "hidden").sel(layer=3)
    x = [np.concatenate([drawn(r, s, shape=(2, 24, 5)) for r in (0, 1)], axis=1) for s in range(6)]
    for step in range(1, 6):
        change = x[step] - x[step - 1]
        for token in range(48):
            own, off = np.linalg.norm(x[step][:, token]), np.linalg.norm(change[:, token])
            at = divmod(token, 8)
            assert found["token_relative_l2"][step][at] == pytest.approx(off / own, rel=1e-5)
            cosine = (x[step][:, token] * x[step - 1][:, token]).sum() / own
            cosine /= np.linalg.norm(x[step - 1][:, token])
            assert found["token_cosine"][step][at] == pytest.approx(cosine, abs=1e-5)
        for channel in range(5):
            off = np.linalg.norm(change[..., channel]) / np.linalg.norm(x[step][..., channel])
            assert found["channel_relative_l2"][step, channel] == pytest.approx(off, rel=1e-5)
    assert found.attrs["gaps"] == ""


def test_ranks_with_images_of_their_own_are_summed_up(record: Record) -> None:
    """The norm of a token is that of all its images."""
    trace = record(lambda rank, step: {"hidden/0": drawn(rank, step)}, ranks=2, model=MODEL)
    found = redundancy_maps(trace, "hidden")
    images = np.concatenate([drawn(0, 4), drawn(1, 4)])[:, 8 + 5]
    assert found["token_norm"][0, 4, 1, 5] == pytest.approx(np.linalg.norm(images))


def test_heads_of_a_token_belong_together(record: Record) -> None:
    """Keys (image, head, token, width) are tokens by channels of all heads."""
    keys = drawn(1, shape=(1, 2, 4, 3))
    trace = record(lambda _, step: {"kv/0": np.stack([keys * (1 + step), keys])})
    found = redundancy_maps(trace, "k")
    assert found.sizes == {"layer": 1, "step": 6, "token": 4, "channel": 6}
    assert found["token_norm"][0, 0, 2] == pytest.approx(np.linalg.norm(keys[0, :, 2]))
    assert found["channel_norm"][0, 0, 4] == pytest.approx(np.linalg.norm(keys[0, 1, :, 1]))


def test_what_is_missing_is_nan_where_it_is_missing_only(record: Record) -> None:
    """A NaN costs its token and its channel, a lost step all; the gaps name both."""

    def broken(rank: int, step: int) -> dict[str, Array]:
        x = drawn(rank, step)
        if step == 1:
            x[0, 7, 2] = np.nan
        return {} if step == 4 else {"hidden/0": x}

    found = redundancy_maps(record(broken), "hidden")
    assert found["token_norm"].dims == ("layer", "step", "token")
    assert found["token_norm"][0, 1].isnull().to_numpy().nonzero()[0].tolist() == [7]
    assert found["channel_norm"][0, 1].isnull().to_numpy().nonzero()[0].tolist() == [2]
    assert found["token_residual_norm"][0].isnull().all("token").to_numpy().tolist() == [
        *(True, False, False, False, True, True)
    ]
    assert found.attrs["gaps"] == "layer 0, step 1, 4: not kept by rank 0, or not finite"


def test_one_step_has_no_change(record: Record) -> None:
    """So there is nothing to map."""
    with pytest.raises(InputError, match="one step only"):
        redundancy_maps(record(lambda *_: {"hidden/0": drawn(0)}, steps=1), "hidden")
