"""Transformers of `diffusers` at their published sizes, shared by its own context parallelism."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from simnet.extract.subject import Program
from simnet.job import DTYPES
from simnet.models.presets import preset
from simnet.models.shape import Preset
from traces.errors import InputError, unknown

INSTALL = 'pip install "diffusers>=0.42,<0.43"'
#: Pixels of a side for a place in the latent.
_ENCODER_PX = 8
_POOLED = 768  # CLIP's width
#: diffusers' kernel for ring attention, which must give the log-sum-exp as well.
_RING_KERNEL = "_native_flash"


class Public(NamedTuple):
    """A class of diffusers, what to make it with, and what one forward is called with."""

    kind: str
    sizes: dict[str, Any]
    inputs: dict[str, Any]


class Parallel(NamedTuple):
    """How many ranks share keys and values in a ring, and heads by all-to-alls."""

    ring: int = 1
    ulysses: int = 1

    def __str__(self) -> str:
        given = {"ring": self.ring, "ulysses": self.ulysses}
        return ",".join(f"{name}={n}" for name, n in given.items() if n > 1) or "single"

    @property
    def ranks(self) -> int:
        """All of them."""
        return self.ring * self.ulysses

    @classmethod
    def parse(cls, text: str) -> Parallel:
        """Of "ring=2,ulysses=4"; raises InputError for anything else."""
        degrees: dict[str, int] = {}
        for part in text.split(","):
            name, _, number = part.strip().partition("=")
            if name not in cls._fields:
                raise unknown("parallelism", name, cls._fields)
            if name in degrees or not number.isdecimal() or int(number) < 1:
                raise InputError(
                    f"parallelism {text!r}: {part.strip()!r} is not understood; write for example "
                    "ulysses=8, ring=8 or ring=2,ulysses=4"
                )
            degrees[name] = int(number)
        return cls(**degrees)


def _empty(*shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype)


def _whole(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.long)


def _heads(shape: Preset) -> dict[str, Any]:
    return {"num_attention_heads": shape.heads, "attention_head_dim": shape.head_dim}


def _text(shape: Preset) -> torch.Tensor:
    assert shape.text is not None
    return _empty(shape.forwards, shape.text.tokens, shape.text.channels)


def _latent(shape: Preset) -> torch.Tensor:
    """(B, channels, height, width) of an image's; a video's has frames before the height."""
    frames = [shape.grid[0]] if shape.frames > 1 else []
    height, width = shape.height_px // _ENCODER_PX, shape.width_px // _ENCODER_PX
    patch = (shape.token_px // _ENCODER_PX) ** 2
    return _empty(shape.forwards, shape.channels // patch, *frames, height, width)


def _flux(shape: Preset) -> Public:
    guided = {"guidance": _empty(1)} if "dev" in shape.name else {}
    sizes = {
        "num_layers": shape.layers - shape.single_layers,
        "num_single_layers": shape.single_layers,
        "guidance_embeds": bool(guided),
    }
    inputs = {
        "hidden_states": _empty(1, shape.tokens, shape.channels),
        "encoder_hidden_states": _text(shape),
        "pooled_projections": _empty(1, _POOLED),
        "timestep": _empty(1),
        "img_ids": _empty(shape.tokens, 3),
        "txt_ids": _empty(shape.text_tokens, 3),
        **guided,
    }
    return Public("FluxTransformer2DModel", _heads(shape) | sizes, inputs)


def _sd3(shape: Preset) -> Public:
    sizes = {
        "num_layers": shape.layers,
        "caption_projection_dim": shape.hidden,
        "sample_size": shape.width_px // _ENCODER_PX,
    }
    inputs = {
        "hidden_states": _latent(shape),
        "encoder_hidden_states": _text(shape),
        "pooled_projections": _empty(shape.forwards, 2048),
        "timestep": _empty(shape.forwards),
    }
    return Public("SD3Transformer2DModel", _heads(shape) | sizes, inputs)


def _pixart(shape: Preset) -> Public:
    sizes = {
        "num_layers": shape.layers,
        "sample_size": shape.width_px // _ENCODER_PX,
        "caption_channels": _text(shape).shape[-1],
    }
    n = shape.forwards
    inputs = {
        "hidden_states": _latent(shape),
        "encoder_hidden_states": _text(shape),
        "timestep": _empty(n),
        "added_cond_kwargs": {"resolution": _empty(n, 2), "aspect_ratio": _empty(n, 1)},
    }
    return Public("PixArtTransformer2DModel", _heads(shape) | sizes, inputs)


def _dit(shape: Preset) -> Public:
    sizes = {
        "num_layers": shape.layers,
        "out_channels": 8,
        "sample_size": shape.width_px // _ENCODER_PX,
    }
    n = shape.forwards
    inputs = {"hidden_states": _latent(shape), "timestep": _whole(n), "class_labels": _whole(n)}
    return Public("DiTTransformer2DModel", _heads(shape) | sizes, inputs)


def _cogvideox(shape: Preset) -> Public:
    rotary = shape.layers > 30  # of the larger model
    sizes = {
        "num_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "sample_frames": shape.frames,
        "sample_width": shape.width_px // _ENCODER_PX,
        "sample_height": shape.height_px // _ENCODER_PX,
        "use_rotary_positional_embeddings": rotary,
    }
    latent = _latent(shape).transpose(1, 2)  # frames first
    inputs: dict[str, Any] = {
        "hidden_states": latent,
        "encoder_hidden_states": _text(shape),
        "timestep": _empty(shape.forwards),
    }
    if rotary:
        inputs["image_rotary_emb"] = (_empty(shape.tokens, 64), _empty(shape.tokens, 64))
    return Public("CogVideoXTransformer3DModel", sizes, inputs)


def _wan(shape: Preset) -> Public:
    sizes = {"num_layers": shape.layers, "ffn_dim": shape.mlp}
    inputs = {
        "hidden_states": _latent(shape),
        "timestep": _empty(shape.forwards),
        "encoder_hidden_states": _text(shape),
    }
    return Public("WanTransformer3DModel", _heads(shape) | sizes, inputs)


def _qwen(shape: Preset) -> Public:
    sizes = {"num_layers": shape.layers, "joint_attention_dim": _text(shape).shape[-1]}
    n = shape.forwards
    inputs = {
        "hidden_states": _empty(n, shape.tokens, shape.channels),
        "encoder_hidden_states": _text(shape),
        "timestep": _empty(n),
        "img_shapes": [shape.grid] * n,
    }
    return Public("QwenImageTransformer2DModel", _heads(shape) | sizes, inputs)


def _hunyuanvideo(shape: Preset) -> Public:
    sizes = {
        "num_layers": shape.layers - shape.single_layers,
        "num_single_layers": shape.single_layers,
    }
    inputs = {
        "hidden_states": _latent(shape),
        "timestep": _whole(1),
        "encoder_hidden_states": _text(shape),
        "encoder_attention_mask": _empty(1, shape.text_tokens, dtype=torch.bool),
        "pooled_projections": _empty(1, _POOLED),
        "guidance": _empty(1),
    }
    return Public("HunyuanVideoTransformer3DModel", _heads(shape) | sizes, inputs)


#: Our preset -> how diffusers makes it. A name may be cut short: the first that begins so is meant.
FAMILIES: dict[str, Callable[[Preset], Public]] = {
    "flux.1-dev": _flux,
    "flux.1-schnell": _flux,
    "sd3-medium": _sd3,
    "pixart-alpha": _pixart,
    "dit-xl-2": _dit,
    "dit-xl-2-256": _dit,
    "dit-xl-2-512": _dit,
    "cogvideox-2b": _cogvideox,
    "cogvideox-5b": _cogvideox,
    "wan2.1-1.3b": _wan,
    "wan2.1-14b": _wan,
    "qwen-image": _qwen,
    "hunyuanvideo": _hunyuanvideo,
}


def full_name(text: str) -> str:
    """The preset that "flux:width=512" means; raises InputError for what diffusers cannot make."""
    name, colon, settings = text.partition(":")
    found = name if name in FAMILIES else None
    found = found or next((known for known in FAMILIES if name and known.startswith(name)), None)
    if found is None:
        raise unknown("model of diffusers", name, FAMILIES)
    return f"{found}{colon}{settings}"


#: One rank.
ALONE = Parallel()


@dataclass(frozen=True)
class DiffusersModel:
    """A subject: a preset's name with its parameters, and how ranks share it.

    Raises InputError for one that there is not, and where diffusers is missing.
    """

    name: str
    parallel: Parallel = ALONE
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if find_spec("diffusers") is None:
            raise InputError(f"models of diffusers need it: {INSTALL}")
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if self.shape.heads % self.parallel.ulysses:
            raise InputError(
                f"{self.model} has {self.shape.heads} heads, which ulysses="
                f"{self.parallel.ulysses} cannot share evenly"
            )

    @property
    def model(self) -> str:
        """See Subject."""
        return full_name(self.name)

    @cached_property
    def shape(self) -> Preset:
        """The model's."""
        return preset(self.model)

    @property
    def schedule(self) -> str:
        """See Subject."""
        return f"diffusers {self.parallel}"

    @property
    def steps(self) -> int:
        """See Subject."""
        return self.shape.steps

    @property
    def alike(self) -> bool:
        """See Subject."""
        return True

    def make(self) -> Program:
        """See Subject."""
        import diffusers

        dtype: torch.dtype = getattr(torch, self.dtype)
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            public = FAMILIES[self.model.partition(":")[0]](self.shape)
        finally:
            torch.set_default_dtype(before)
        with _silenced(diffusers.utils.logging):
            model = getattr(diffusers, public.kind)(**public.sizes).to(dtype).eval()
            self._share(model, diffusers)
        return Program(model, kwargs={**public.inputs, "return_dict": False})

    def _share(self, model: Any, diffusers: Any) -> None:
        if self.parallel.ranks == 1:
            return
        if getattr(model, "_cp_plan", None) is None:
            raise InputError(
                f"diffusers has no plan for sharing {self.model}; leave --parallel out, or take "
                "one of flux.1-dev, wan2.1-14b and qwen-image"
            )
        from diffusers.models.attention_dispatch import attention_backend

        _complete_logging()
        if self.parallel.ring > 1:
            with attention_backend():  # for it would be that of other models from now on
                model.set_attention_backend(_RING_KERNEL)
        model.enable_parallelism(
            config=diffusers.ContextParallelConfig(
                ring_degree=self.parallel.ring, ulysses_degree=self.parallel.ulysses
            )
        )


@contextmanager
def _silenced(log: Any) -> Iterator[None]:
    """Without diffusers' warnings that all of this is experimental."""
    verbosity = log.get_verbosity()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)


def _complete_logging() -> None:
    """Give loggers the method that diffusers' context parallelism takes `transformers` to add."""
    if not hasattr(logging.Logger, "warning_once"):
        logging.getLogger("diffusers.hooks.context_parallel").warning_once = (  # type: ignore[attr-defined]
            lambda *_, **__: None
        )
