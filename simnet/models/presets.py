"""The shapes of known diffusion transformers, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from traces.errors import InputError, unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model's shape; its weights are random.

    Raises InputError for a shape that no DiT can have.
    """

    name: str
    layers: int
    hidden: int  # D, the width of a token inside the network
    heads: int  # H
    tokens: int  # T, of one image
    channels: int  # C, of one token of the latent
    source: str  # where the shape is published
    mlp_ratio: int = 4
    classes: int = 1000

    def __post_init__(self) -> None:
        for field in ("layers", "hidden", "heads", "tokens", "channels", "mlp_ratio", "classes"):
            if getattr(self, field) < 1:
                raise InputError(
                    f"model {self.name!r}: {field} is {getattr(self, field)}, expected 1 or more"
                )
        # 4: a sine and a cosine for each of a token's two coordinates.
        for divisor, what in ((self.heads, "heads"), (4, "parts of its position")):
            if self.hidden % divisor:
                raise InputError(
                    f"model {self.name!r}: hidden is {self.hidden}, which does not split evenly "
                    f"into {divisor} {what}"
                )


_DIT = "Peebles & Xie 2023, table 1; latent 32x32x4 (256 px) or 64x64x4 (512 px), patch 2"

_ALL = (
    Preset(
        name="dit-nano", layers=2, hidden=96, heads=12, tokens=48, channels=16,
        source="made up: small enough for tests, and splits over 1, 2, 3, 4, 6 or 8 ranks",
    ),
    Preset(
        name="dit-tiny", layers=6, hidden=256, heads=8, tokens=256, channels=16,
        source="made up: runs in real time on a CPU",
    ),
    Preset(
        name="dit-s-2-256", layers=12, hidden=384, heads=6, tokens=256, channels=16, source=_DIT
    ),
    Preset(
        name="dit-b-2-256", layers=12, hidden=768, heads=12, tokens=256, channels=16, source=_DIT
    ),
    Preset(
        name="dit-l-2-256", layers=24, hidden=1024, heads=16, tokens=256, channels=16, source=_DIT
    ),
    Preset(
        name="dit-xl-2-256", layers=28, hidden=1152, heads=16, tokens=256, channels=16, source=_DIT
    ),
    Preset(
        name="dit-xl-2-512", layers=28, hidden=1152, heads=16, tokens=1024, channels=16, source=_DIT
    ),
    # The two below have the published width, depth, tokens and so the FLOPs and bytes of the
    # published models, but plain DiT blocks: text and image tokens share one stream of weights.
    Preset(
        name="flux-shaped", layers=57, hidden=3072, heads=24, tokens=4608, channels=64, classes=1,
        source="FLUX.1-dev at 1024 px: 19 double and 38 single blocks; 4096 image, 512 text tokens",
    ),
    Preset(
        # 333 text tokens, padded to 336 so that 2, 4, 8 or 16 ranks can split them.
        name="sd3-shaped", layers=24, hidden=1536, heads=24, tokens=4432, channels=64, classes=1,
        source="Esser et al. 2024, SD3-medium at 1024 px: 24 blocks; 4096 image, 333 text tokens",
    ),
)  # fmt: skip

PRESETS = {preset.name: preset for preset in _ALL}


def preset(name: str) -> Preset:
    """A model's shape by name; raises InputError for one that is not in the table."""
    if name not in PRESETS:
        raise unknown("model", name, PRESETS)
    return PRESETS[name]
