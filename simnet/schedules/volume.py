"""How many bytes of a kind of activation there are, as they are and through a codec."""

from __future__ import annotations

from dataclasses import dataclass

from simnet.codecs.named import spec
from simnet.codecs.rule import Rule
from simnet.codecs.sized import advice
from simnet.job import Job
from simnet.schedules.wire import KV
from traces.errors import InputError
from traces.units import format_bytes


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

    def bases(self, rule: Rule | None, job: Job, steps: range | None = None) -> int:
        """What one end of a stream of it keeps after these steps (all, by default)."""
        steps = range(job.steps) if steps is None else steps
        if rule is None:
            return 0
        shape = self.rows, self.columns
        return sum(
            rule(tensor, layer, steps[-1]).state_bytes(shape, job.torch_dtype, len(steps))
            for layer in range(self.layers)
            for tensor in self.tensors
        )

    def check(self, name: str, rule: Rule | None, job: Job) -> None:
        """Raise InputError where a codec would make more of a schedule's tensors than there is."""
        shape = self.rows, self.columns
        whole = self.rows * self.columns * job.torch_dtype.itemsize
        for residual in rule.residuals() if rule is not None else ():
            coded = residual.nbytes(shape, job.torch_dtype)
            if coded > whole:
                raise InputError(
                    f"{name}: {spec(residual)} makes {format_bytes(coded)} of the "
                    f"{format_bytes(whole)} of {self.tensors[0]!r} in a layer, {self.rows} x "
                    f"{self.columns} in {job.dtype}; "
                    f"{advice(residual.codec, shape, job.torch_dtype)}"
                )
