"""Shapes that were written as text are read back, and say how many bytes a payload has."""

from __future__ import annotations

import pytest
import torch

from traces.errors import InputError
from traces.shape import ITEM_BYTES, parse_shape, payload_bytes


@pytest.mark.parametrize(
    ("text", "tensors"),
    [
        ("", []),
        ("1x64x256:float32", [((1, 64, 256), "float32")]),
        ("scalar:bfloat16", [((), "bfloat16")]),
        ("2x0:int8,none,3,-1,2.5,true,inf,7:bool", [((2, 0), "int8"), ((7,), "bool")]),
    ],
)
def test_tensors_are_read_and_the_rest_is_left_out(
    text: str, tensors: list[tuple[tuple[int, ...], str]]
) -> None:
    """Numbers, None and truth values are arguments too, but no tensors."""
    assert parse_shape(text) == tensors


@pytest.mark.parametrize(
    "text",
    ["nonsense", "1x2", "1x2:", "1xx2:float32", "1x-2:float32", "2.5:float32", ":float32",
     "1x2:float33", "1x2:float32 1x3:float32", "1x2:torch.float32", "²:float32",
     "9" * 5000 + ":float32"],
)  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    """What no shape is written as is named, with an example of what is."""
    with pytest.raises(InputError, match="is not understood; write for example 1x64x256:float32"):
        parse_shape(text)


@pytest.mark.parametrize("dtype", ITEM_BYTES)
def test_a_payloads_bytes_are_those_that_torch_counts(dtype: str) -> None:
    """For every type there is, with and without dimensions."""
    kind = getattr(torch, dtype)
    for shape in ((), (3,), (2, 0), (2, 64, 5)):
        text = f"{'x'.join(map(str, shape)) or 'scalar'}:{dtype}"
        assert payload_bytes(text) == torch.empty(shape, dtype=kind, device="meta").nbytes


@pytest.mark.parametrize("text", ["", "none", "3", "2:float32,2:float32", "2:float32,none"])
def test_a_payload_is_one_tensor(text: str) -> None:
    """Neither none nor several, nor one and something else."""
    with pytest.raises(InputError, match="expected that of one tensor, such as 2x64x128:float32"):
        payload_bytes(text)
