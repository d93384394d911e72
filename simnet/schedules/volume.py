"""How many bytes of a kind of activation there are, as they are and through a codec."""

from __future__ import annotations

from dataclasses import dataclass

from simnet.codecs.residual import Residual
from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.schedules.wire import KV


@dataclass(frozen=True)
class Volume:
    """What one rank has of some tensors in each layer: matrices of tokens by channels."""

    tensors: tuple[str, ...]
    rows: int
    columns: int
    layers: int

    @classmethod
    def of_kv(cls, job: Job) -> Volume:
        """One rank's keys and values, as far as other ranks need them."""
        rows = job.batch * job.shared_tokens
        return cls(KV, rows, job.preset.hidden, job.preset.layers)

    def nbytes(self, job: Job) -> int:
        """Of all layers, as they are."""
        matrices = self.layers * len(self.tensors)
        return matrices * self.rows * self.columns * job.torch_dtype.itemsize

    def sent(self, rule: Rule | None, job: Job, steps: range | None = None) -> int:
        """In all layers and these steps (by default all), one way to one rank."""
        steps = range(job.steps) if steps is None else steps
        if rule is None:
            return len(steps) * self.nbytes(job)
        return sum(
            rule(tensor, layer, step).nbytes((self.rows, self.columns), job.torch_dtype)
            for step in steps
            for layer in range(self.layers)
            for tensor in self.tensors
        )

    def bases(self, rule: Rule | None, job: Job) -> int:
        """What one end of a stream of it keeps for the next step, in all layers."""
        if rule is None:
            return 0
        shape = self.rows, self.columns
        residuals = (
            rule(tensor, layer, job.steps)
            for layer in range(self.layers)
            for tensor in self.tensors
        )
        return sum(
            residual.state_bytes(shape, job.torch_dtype)
            for residual in residuals
            if isinstance(residual, Residual)
        )
