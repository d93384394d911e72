"""What is to be denoised: a model preset, a number of steps, and how many ranks share it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

from simnet.models.presets import preset
from simnet.models.shape import Joint, Preset
from traces.errors import InputError

if TYPE_CHECKING:
    import torch

    from simnet.models.dit import DiT

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Job:
    """Some images: `steps` Euler steps of a rectified flow from seeded noise, on `ranks` ranks.

    They are denoised together, and with guidance a step's two forwards of each as well: first all
    for nothing in particular, then all for what is to be drawn. A job of one `forward` does only
    the first (0) or only the second (1). Image i draws class i, or a text of its own.

    Tensors are made when first used, on `device`; on "meta" they take no memory and no time.
    Raises InputError for numbers and names that will not do.
    """

    model_name: str
    ranks: int = 1
    steps: int = 8
    dtype: str = "float32"
    seed: int = 0
    device: str = "cpu"
    forward: int | None = None
    images: int = 1  # n, of one batch
    number: int = 0  # of the batch: its first image is that many times `images`

    def __post_init__(self) -> None:
        for name in ("ranks", "steps", "images"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if not 0 <= self.seed < 2**63 - 1:
            raise InputError(f"seed is {self.seed}, expected an integer from 0 to 2^63 - 2")
        if self.dtype not in DTYPES:
            raise InputError(f"dtype is {self.dtype!r}, expected one of {', '.join(DTYPES)}")
        forwards = self.preset.forwards
        if self.forward is not None and self.forward not in range(forwards):
            raise InputError(
                f"forward is {self.forward}; a step of {self.model_name} has {forwards}, "
                "counted from 0"
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

    def check_split(self) -> None:
        """Raise InputError where the model's tokens do not split evenly over the ranks."""
        tokens = self.preset.tokens
        if tokens % self.ranks:
            fits = [n for n in range(1, min(tokens, 64) + 1) if tokens % n == 0]
            raise InputError(
                f"{self.model_name} has {tokens} tokens, which {self.ranks} ranks cannot split "
                f"evenly; use {', '.join(map(str, fits))} ranks"
            )

    def one_step(self) -> Job:
        """The same for one step only, with the same model in memory."""
        return self.with_model().variant(steps=1)

    def with_model(self) -> Job:
        """This one, with its model in memory, for variants to share."""
        self.__dict__["model"] = self.model
        return self

    def variant(
        self,
        *,
        ranks: int | None = None,
        steps: int | None = None,
        forward: int | None = None,
        number: int | None = None,
    ) -> Job:
        """Another job for the same model; one that is in memory is shared."""
        changed = replace(
            self,
            ranks=self.ranks if ranks is None else ranks,
            steps=self.steps if steps is None else steps,
            forward=self.forward if forward is None else forward,
            number=self.number if number is None else number,
        )
        if "model" in self.__dict__:
            changed.__dict__["model"] = self.model
        return changed

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch type of weights and activations."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def batch(self) -> int:
        """B, the forwards of a step that are done together, of all images."""
        return self.images * (self.preset.forwards if self.forward is None else 1)

    @property
    def shared_tokens(self) -> int:
        """Tokens whose keys and values one rank has for the others, where they split a sequence."""
        return self.preset.tokens // self.ranks + self.preset.text_share(self.ranks)

    @property
    def kv_bytes(self) -> int:
        """Bytes of these keys and values, in one layer."""
        return 2 * self.batch * self.shared_tokens * self.preset.hidden * self.torch_dtype.itemsize

    @cached_property
    def latent(self) -> torch.Tensor:
        """The noise to start from, (n, T, C)."""
        return self._drawn((self.preset.tokens, self.preset.channels), 1)

    @cached_property
    def label(self) -> torch.Tensor:
        """What to draw, the B forwards' classes (B,) or tokens of their texts (B, S, channels)."""
        import torch

        text, forwards = self.preset.text, self.preset.forwards
        if text is None:
            # The class after the last is none in particular; a lone forward draws what is asked.
            first = self.number * self.images
            asked = torch.arange(first, first + self.images, device=self.device)
            asked = asked % self.preset.classes
            each = [torch.full_like(asked, self.preset.classes), asked][-forwards:]
        else:
            texts = self._drawn((forwards, text.tokens, text.channels), 2)
            each = list(texts.unbind(1))
        return torch.cat(each if self.forward is None else [each[self.forward]])

    @property
    def coins(self) -> torch.Tensor:
        """0 or 1 for each token of each of the B forwards, (B T,): the same in every schedule."""
        import torch

        forwards = range(self.preset.forwards) if self.forward is None else [self.forward]
        first = self.number * self.images
        tossed = [
            torch.randint(
                2, (self.preset.tokens,), generator=_generator(self.seed, 3, forward, image)
            )
            for forward in forwards
            for image in range(first, first + self.images)
        ]
        return torch.cat(tossed)

    @cached_property
    def times(self) -> torch.Tensor:
        """Time of each step from 1 (noise) towards 0 (image), (S, 1)."""
        import torch

        return 1 - torch.arange(self.steps, device=self.device).unsqueeze(1) / self.steps

    def time(self, step: int) -> torch.Tensor:
        """Time of a step, (1,)."""
        return self.times[step]

    def patch(self, rank: int) -> tuple[torch.Tensor, ...]:
        """A rank's tokens: see `part`."""
        return self.part(rank, self.ranks)

    def part(self, index: int, parts: int, *, whole_text: bool = False) -> tuple[torch.Tensor, ...]:
        """One of so many equal parts of the sequence, as the model's `embed` takes it.

        Its latent (n, T', C) and positions (T', D); for a model with joint attention also its
        share of the text (B, S', channels), or where that does not split evenly all of it.
        """
        shape = self.preset
        tokens = _share(index, shape.tokens // parts)
        part = self.latent[:, tokens].contiguous(), self.model.position[tokens]
        if not isinstance(shape.text, Joint):
            return part
        share = 0 if whole_text else shape.text_share(parts)
        return *part, self.label[:, _share(index, share)] if share else self.label

    def advance(self, x: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        """One Euler step of the flow (Lipman et al. 2023, "Flow Matching"), (n, T', C).

        `velocity` (B, T', C) is of one forward, or of the two that guidance takes.
        """
        if len(velocity) > len(x):
            unguided, asked = velocity.chunk(2)
            velocity = unguided + self.preset.guidance * (asked - unguided)
        return x - velocity / self.steps

    def _drawn(self, shape: tuple[int, ...], what: int) -> torch.Tensor:
        """Numbers from the normal distribution, others for each thing and image: (n, *shape)."""
        import torch

        if self.device == "meta":
            return torch.empty((self.images, *shape), device="meta", dtype=self.torch_dtype)
        first = self.number * self.images
        drawn = [
            torch.randn(shape, generator=_generator(self.seed, what, image))
            for image in range(first, first + self.images)
        ]
        return torch.stack(drawn).to(self.device, self.torch_dtype)


def _generator(*entropy: int) -> torch.Generator:
    """One for these numbers alone: those for others have nothing to do with it."""
    import numpy as np
    import torch

    (seed,) = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed) % 2**63)


def _share(index: int, size: int) -> slice:
    return slice(index * size, (index + 1) * size)
