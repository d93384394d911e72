"""What is to be denoised: a model preset, a number of steps, and how many ranks share it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

from simnet.models.presets import Preset, preset
from traces.errors import InputError

if TYPE_CHECKING:
    import torch

    from simnet.models.dit import DiT

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Job:
    """One image: `steps` Euler steps of a rectified flow from seeded noise, on `ranks` ranks.

    Tensors are made when first used, on `device`; on "meta" they take no memory and no time.
    Raises InputError where the model's tokens do not split evenly over the ranks.
    """

    model_name: str
    ranks: int = 1
    steps: int = 8
    dtype: str = "float32"
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("ranks", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if not 0 <= self.seed < 2**63 - 1:
            raise InputError(f"seed is {self.seed}, expected an integer from 0 to 2^63 - 2")
        if self.dtype not in DTYPES:
            raise InputError(f"dtype is {self.dtype!r}, expected one of {', '.join(DTYPES)}")
        tokens = self.preset.tokens
        if tokens % self.ranks:
            fits = [n for n in range(1, min(tokens, 64) + 1) if tokens % n == 0]
            raise InputError(
                f"{self.model_name} has {tokens} tokens, which {self.ranks} ranks cannot split "
                f"evenly; use {', '.join(map(str, fits))} ranks"
            )

    def __getstate__(self) -> dict[str, object]:
        """Without what was made when first used: a model is made anew where a job is sent to."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def preset(self) -> Preset:
        """The model's shape."""
        return preset(self.model_name)

    @cached_property
    def model(self) -> DiT:
        """The network, with weights drawn from `seed`."""
        from simnet.models.dit import build

        return build(self.preset, self.seed, self.torch_dtype, self.device)

    def one_step(self) -> Job:
        """The same for one step only, with the same model in memory."""
        short = replace(self, steps=1)
        short.__dict__["model"] = self.model
        return short

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch type of weights and activations."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def kv_bytes(self) -> int:
        """Bytes of one rank's keys and values in one layer."""
        element = 4 if self.dtype == "float32" else 2
        return 2 * (self.preset.tokens // self.ranks) * self.preset.hidden * element

    @cached_property
    def latent(self) -> torch.Tensor:
        """The noise to start from, (1, T, C)."""
        import torch

        noise = torch.Generator().manual_seed(self.seed + 1)
        shape = (1, self.preset.tokens, self.preset.channels)
        on_meta = self.device == "meta"
        full = torch.empty(shape, device="meta") if on_meta else torch.randn(shape, generator=noise)
        return full.to(self.device, self.torch_dtype)

    @cached_property
    def label(self) -> torch.Tensor:
        """The class to draw, (1,)."""
        import torch

        return torch.zeros(1, dtype=torch.long, device=self.device)

    @cached_property
    def times(self) -> torch.Tensor:
        """Time of each step from 1 (noise) towards 0 (image), (S, 1)."""
        import torch

        return 1 - torch.arange(self.steps, device=self.device).unsqueeze(1) / self.steps

    def time(self, step: int) -> torch.Tensor:
        """Time of a step, (1,)."""
        return self.times[step]

    def patch(self, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A rank's tokens: their latent (1, T/n, C) and their positions (T/n, D)."""
        size = self.preset.tokens // self.ranks
        tokens = slice(rank * size, (rank + 1) * size)
        return self.latent[:, tokens].contiguous(), self.model.position[tokens]

    def advance(self, x: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        """One Euler step of the flow (Lipman et al. 2023, "Flow Matching"), (1, T/n, C)."""
        return x - velocity / self.steps
