"""What to do where a codec would make more of a matrix than there is."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simnet.codecs.affine import Int4
from simnet.codecs.base import Codec
from simnet.codecs.low_rank import LowRank
from simnet.codecs.low_rank_int4 import LowRankInt4
from simnet.codecs.raw import Raw
from simnet.codecs.sign import OneBit
from simnet.codecs.sized import Sized, advice
from simnet.codecs.top_one import TopOne

KINDS: dict[type[LowRank | LowRankInt4 | TopOne], list[int]] = {
    LowRank: list(range(1, 41)),
    LowRankInt4: list(range(1, 41)),
    TopOne: [16, 8, 4, 2, 1],
}


@given(
    kind=st.sampled_from(list(KINDS)),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    share=st.floats(0, 3),
)
def test_the_parameter_that_is_named_is_the_last_that_fits(
    kind: type[LowRank | LowRankInt4 | TopOne], shape: tuple[int, int], share: float
) -> None:
    """Of all that there are; with none, none is named."""
    nbytes = int(share * Raw().nbytes(shape, torch.float16))
    values = [value for value in KINDS[kind] if kind is TopOne or value <= min(shape)]
    fits = [value for value in values if kind(value).nbytes(shape, torch.float16) <= nbytes]
    told = kind().within(nbytes, shape, torch.float16)
    if not fits:
        assert told is None
    else:
        assert told is not None
        assert re.fullmatch(r"(rank|m)=(\d+) or (less|more)", told)
        assert int(re.findall(r"\d+", told)[0]) == fits[-1]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (LowRank(99), "use rank=6 or less"),
        (TopOne(1), "use m=2 or more"),
        (Int4(), "send it raw"),
        (OneBit(), "send it raw"),
    ],
)
def test_a_codec_without_such_a_parameter_is_not_for_what_it_makes_larger(
    chosen: Codec, expected: str
) -> None:
    """Others say which of theirs would do: here for 12 x 16 numbers of 16 bits, 384 bytes."""
    assert advice(chosen, (12, 16), torch.float16) == expected
    assert isinstance(chosen, Sized) == expected.startswith("use")
