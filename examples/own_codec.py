"""A codec of one's own: every element in 16 bits, by cutting off half of a float32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch
from torch import Tensor

from simnet import Job, RingAttention, run_local
from simnet.codecs.base import Shape
from simnet.codecs.residual import Residual
from simnet.codecs.rule import Everywhere


@dataclass(frozen=True)
class Cut:
    """An element as bfloat16: 2 NC bytes."""

    name: ClassVar[str] = "cut"

    def encode(self, x: Tensor) -> Tensor:
        """See Codec: from (N, C) to bytes."""
        return x.to(torch.bfloat16).reshape(-1).view(torch.uint8)

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec: and back."""
        # A copy, because a payload that was cut out of a larger one may start at an odd address.
        return payload.clone().view(torch.bfloat16).view(shape).to(dtype)

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec: said before there is a payload, so it depends on no value."""
        del dtype
        return 2 * shape[0] * shape[1]

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec: what is NaN or infinite if anything in the matrix is."""
        return self.decode(payload, shape, dtype)


def main() -> None:
    """Send a matrix through it; then a ring's keys and values, as changes from step to step."""
    x = torch.randn(30, 96)
    payload = Cut().encode(x)
    assert payload.nbytes == Cut().nbytes(x.shape, x.dtype)
    torch.testing.assert_close(Cut().decode(payload, x.shape, x.dtype), x, rtol=2**-8, atol=0)

    ring = RingAttention(codec=Everywhere(Residual(Cut())))
    job = Job("mmdit-tiny", ranks=4, steps=3)
    with TemporaryDirectory() as folder:
        trace = run_local(ring, job, Path(folder) / "T")
        sent = trace.ops.groupby("rank")["wire_bytes"].sum()
    assert sent.tolist() == list(ring.claims(job).wire_bytes)
    print(f"{sent[0]} bytes a rank instead of {RingAttention().claims(job).wire_bytes[0]}")


if __name__ == "__main__":
    main()
