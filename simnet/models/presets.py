"""The shapes of known diffusion transformers, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from simnet.models.shape import Cross, Experts, Joint, Modulation, Preset
from traces.errors import InputError, unknown

_DIT = "Peebles & Xie 2023, table 1; latent 32x32x4 (256 px) or 64x64x4 (512 px), patch 2"

#: T5-XXL's encoder: 2 FLOP for each of its 4.76e9 weights (Raffel et al. 2020).
_T5_FLOP = 2 * 4.76e9
#: The decoder of Stable Diffusion's and FLUX's autoencoder: its convolutions' multiply-adds at
#: 1024 px, 5.2e12 in all (Rombach et al. 2022; 512, 512, 256 and 128 channels), for a pixel.
_DECODER_FLOP = 2 * 5.2e12 / 1024**2

_SMALL = (
    Preset(
        name="dit-nano", layers=2, hidden=96, heads=12, channels=16, classes=1000,
        width_px=128, height_px=96,
        steps=8,
        source="made up: small enough for tests, and splits over 1, 2, 3, 4, 6 or 8 ranks",
    ),
    Preset(
        name="dit-tiny", layers=6, hidden=256, heads=8, channels=16, classes=1000,
        width_px=256, height_px=256,
        steps=8,
        source="made up: runs in real time on a CPU",
    ),
    Preset(
        name="mmdit-tiny", layers=4, single_layers=2, hidden=96, heads=12, channels=16,
        text=Joint(tokens=12, channels=32),
        width_px=128, height_px=96,
        steps=8,
        source="made up: the like of FLUX; its text splits over 1, 2, 3, 4 or 6 ranks",
    ),
    Preset(
        name="crossdit-tiny", layers=4, hidden=96, heads=12, channels=16,
        modulation=Modulation(shared=True), text=Cross(tokens=10, channels=32),
        width_px=128, height_px=96, forwards=2,
        steps=8,
        source="made up: the like of PixArt and Wan",
    ),
    Preset(
        name="skipdit-tiny", layers=6, long_skips=True, hidden=96, heads=12, channels=16,
        modulation=Modulation(parts=(0,)), text=Cross(tokens=10, channels=32, width=48),
        width_px=128, height_px=96, forwards=2,
        steps=8,
        source="made up: the like of HunyuanDiT",
    ),
    Preset(
        name="dit-moe-nano", layers=4, hidden=48, heads=4, channels=16, classes=10,
        experts=Experts(count=8, inner=32, shared=32), qk_norm=True,
        width_px=64, height_px=64, forwards=2, guidance=1.5,
        steps=8,
        source="made up: small enough for tests; 2, 4 or 8 ranks share its experts",
    ),
)  # fmt: skip

_OF_CLASSES = (
    Preset(
        name="dit-s-2-256", layers=12, hidden=384, heads=6, channels=16, classes=1000,
        width_px=256, height_px=256, source=_DIT,
    ),
    Preset(
        name="dit-b-2-256", layers=12, hidden=768, heads=12, channels=16, classes=1000,
        width_px=256, height_px=256, source=_DIT,
    ),
    Preset(
        name="dit-l-2-256", layers=24, hidden=1024, heads=16, channels=16, classes=1000,
        width_px=256, height_px=256, source=_DIT,
    ),
    Preset(
        name="dit-xl-2-256", layers=28, hidden=1152, heads=16, channels=16, classes=1000,
        width_px=256, height_px=256, source=_DIT,
    ),
    Preset(
        name="dit-xl-2-512", layers=28, hidden=1152, heads=16, channels=16, classes=1000,
        width_px=512, height_px=512, source=_DIT,
    ),
    Preset(
        name="dit-xl-2", layers=28, hidden=1152, heads=16, channels=16, classes=1000,
        width_px=256, height_px=256, forwards=2, source=f"{_DIT}; with guidance",
    ),
    # The two below have the published width, depth, tokens and so the FLOPs and bytes of the
    # published models, but plain DiT blocks: text and image tokens share one stream of weights.
    Preset(
        name="flux-shaped", layers=57, hidden=3072, heads=24, channels=64, classes=1,
        width_px=1152, height_px=1024,  # 4096 image and 512 text tokens, as one picture
        steps=28,
        source="FLUX.1-dev at 1024 px: 19 double and 38 single blocks; 4096 image, 512 text tokens",
    ),
    Preset(
        # 333 text tokens, padded to 336 so that 2, 4, 8 or 16 ranks can split them.
        name="sd3-shaped", layers=24, hidden=1536, heads=24, channels=64, classes=1,
        width_px=4432, height_px=256,
        steps=28,
        source="Esser et al. 2024, SD3-medium at 1024 px: 24 blocks; 4096 image, 333 text tokens",
    ),
)  # fmt: skip

_MOE = "Fei et al. 2024 (DiT-MoE), table 1; latent 32x32x4, patch 2"

_WITH_EXPERTS = tuple(
    Preset(
        name=f"dit-moe-{size}", layers=layers, hidden=hidden, heads=heads, channels=16,
        classes=1000, experts=Experts(count=experts), qk_norm=True,
        width_px=256, height_px=256, forwards=2, guidance=1.5,
        source=_MOE,
    )
    for size, layers, hidden, heads, experts in (
        ("s", 12, 384, 6, 8),
        ("b", 12, 768, 12, 8),
        ("l", 24, 1024, 16, 8),
        ("xl", 28, 1152, 16, 8),
        ("g", 40, 1408, 16, 16),
    )
)  # fmt: skip

#: Fashion-MNIST's images, 28x28, with a margin of 2, in patches of 4.
_FASHION = "made up, and trained on Fashion-MNIST: see docs/trained.md"

_TRAINED = (
    Preset(
        name="dit-fashion", layers=6, hidden=160, heads=8, channels=16, classes=10,
        qk_norm=True, width_px=32, height_px=32, token_px=4, forwards=2, guidance=2.0,
        trained=True, source=_FASHION,
    ),
    Preset(
        name="dit-moe-tiny", layers=6, hidden=128, heads=8, channels=16, classes=10,
        experts=Experts(count=8, inner=256, shared=128), qk_norm=True,
        width_px=32, height_px=32, token_px=4, forwards=2, guidance=2.0,
        trained=True, source=_FASHION,
    ),
)  # fmt: skip

_OF_IMAGES = (
    Preset(
        name="flux.1-dev", layers=57, single_layers=38, hidden=3072, heads=24, channels=64,
        text=Joint(tokens=512, channels=4096),
        width_px=1024, height_px=1024,
        steps=28, encoder_flop=_T5_FLOP, decoder_flop=_DECODER_FLOP,
        source="black-forest-labs/FLUX.1-dev, transformer/config.json",
    ),
    Preset(
        name="flux.1-schnell", layers=57, single_layers=38, hidden=3072, heads=24, channels=64,
        text=Joint(tokens=256, channels=4096),
        width_px=1024, height_px=1024,
        steps=4, encoder_flop=_T5_FLOP, decoder_flop=_DECODER_FLOP,
        source="black-forest-labs/FLUX.1-schnell, transformer/config.json",
    ),
    Preset(
        name="sd3-medium", layers=24, hidden=1536, heads=24, channels=64,
        text=Joint(tokens=333, channels=4096, ends=True),
        width_px=1024, height_px=1024, forwards=2,
        steps=28, encoder_flop=_T5_FLOP, decoder_flop=_DECODER_FLOP,
        source="stabilityai/stable-diffusion-3-medium; Esser et al. 2024; 77 CLIP, 256 T5 tokens",
    ),
    Preset(
        name="pixart-alpha", layers=28, hidden=1152, heads=16, channels=16,
        modulation=Modulation(shared=True), text=Cross(tokens=120, channels=4096),
        width_px=1024, height_px=1024, forwards=2,
        steps=20, encoder_flop=_T5_FLOP, decoder_flop=_DECODER_FLOP,
        source="PixArt-alpha/PixArt-XL-2-1024-MS; Chen et al. 2023",
    ),
    Preset(
        name="hunyuandit", layers=40, long_skips=True, hidden=1408, heads=16, mlp=6144, channels=16,
        modulation=Modulation(parts=(0,)), text=Cross(tokens=333, channels=2048, width=1024),
        width_px=1024, height_px=1024, forwards=2,
        decoder_flop=_DECODER_FLOP,
        source="Tencent-Hunyuan/HunyuanDiT-v1.2; Li et al. 2024; 77 CLIP, 256 T5 tokens",
    ),
    Preset(
        name="sd3.5-large", layers=38, hidden=2432, heads=38, channels=64,
        text=Joint(tokens=333, channels=4096, ends=True),
        width_px=1024, height_px=1024, forwards=2,
        steps=28, encoder_flop=_T5_FLOP, decoder_flop=_DECODER_FLOP,
        source="stabilityai/stable-diffusion-3.5-large, transformer/config.json",
    ),
    Preset(
        name="flux.2-dev", layers=56, single_layers=48, hidden=6144, heads=48, mlp=18432,
        gated=True, channels=128, modulation=Modulation(shared=True),
        text=Joint(tokens=512, channels=15360, mlp=18432),
        width_px=1024, height_px=1024,
        steps=50, decoder_flop=_DECODER_FLOP,
        source="black-forest-labs/FLUX.2-dev, transformer/config.json: 8 double, 48 single blocks",
    ),
    Preset(
        # A prompt has as many tokens as it has; 256 stand for a long one.
        name="qwen-image", layers=60, hidden=3072, heads=24, channels=64,
        text=Joint(tokens=256, channels=3584),
        width_px=1024, height_px=1024, forwards=2,
        decoder_flop=_DECODER_FLOP,
        source="Qwen/Qwen-Image, transformer/config.json; text length assumed",
    ),
    Preset(
        # 30 layers for image and text together, and 2 that refine each alone.
        name="z-image-turbo", layers=32, hidden=3840, heads=30, mlp=10240, gated=True, channels=64,
        modulation=Modulation(parts=(1, 2, 4, 5), width=256),
        text=Joint(tokens=128, channels=2560, shared=True),
        width_px=1024, height_px=1024,
        steps=9, decoder_flop=_DECODER_FLOP,
        source="Tongyi-MAI/Z-Image-Turbo, transformer/config.json; text length assumed",
    ),
)  # fmt: skip

_OF_VIDEOS = (
    Preset(
        name="cogvideox-2b", layers=30, hidden=1920, heads=30, channels=64,
        modulation=Modulation(width=512), text=Joint(tokens=226, channels=4096, shared=True),
        width_px=720, height_px=480, frames=49, token_frames=4, forwards=2,
        source="THUDM/CogVideoX-2b; Yang et al. 2024",
    ),
    Preset(
        name="cogvideox-5b", layers=42, hidden=3072, heads=48, channels=64,
        modulation=Modulation(width=512), text=Joint(tokens=226, channels=4096, shared=True),
        width_px=720, height_px=480, frames=49, token_frames=4, forwards=2,
        source="THUDM/CogVideoX-5b; Yang et al. 2024",
    ),
    Preset(
        # It pairs frames of the latent, after one more to make their number even.
        name="cogvideox1.5-5b", layers=42, hidden=3072, heads=48, channels=128,
        modulation=Modulation(width=512), text=Joint(tokens=226, channels=4096, shared=True),
        width_px=1360, height_px=768, frames=81, token_frames=8, forwards=2,
        source="THUDM/CogVideoX1.5-5B, transformer/config.json",
    ),
    Preset(
        name="hunyuanvideo", layers=60, single_layers=40, hidden=3072, heads=24, channels=64,
        text=Joint(tokens=256, channels=4096),
        width_px=1280, height_px=720, frames=129, token_frames=4,
        source="tencent/HunyuanVideo; Kong et al. 2024",
    ),
    Preset(
        name="wan2.1-1.3b", layers=30, hidden=1536, heads=12, mlp=8960, channels=64,
        modulation=Modulation(shared=True), text=Cross(tokens=512, channels=4096),
        width_px=832, height_px=480, frames=81, token_frames=4, forwards=2,
        source="Wan-AI/Wan2.1-T2V-1.3B; Wan Team 2025",
    ),
    Preset(
        name="wan2.1-14b", layers=40, hidden=5120, heads=40, mlp=13824, channels=64,
        modulation=Modulation(shared=True), text=Cross(tokens=512, channels=4096),
        width_px=1280, height_px=720, frames=81, token_frames=4, forwards=2,
        source="Wan-AI/Wan2.1-T2V-14B; Wan Team 2025",
    ),
    Preset(
        # Its encoder makes a 16th of a side, of which a token takes 2x2.
        name="wan2.2-ti2v-5b", layers=30, hidden=3072, heads=24, mlp=14336, channels=192,
        modulation=Modulation(shared=True), text=Cross(tokens=512, channels=4096),
        width_px=1280, height_px=704, frames=121, token_px=32, token_frames=4, forwards=2,
        source="Wan-AI/Wan2.2-TI2V-5B, config.json",
    ),
    Preset(
        name="allegro", layers=32, hidden=2304, heads=24, channels=16,
        modulation=Modulation(shared=True), text=Cross(tokens=512, channels=4096),
        width_px=1280, height_px=720, frames=85, token_frames=4, forwards=2,
        steps=100,
        source="rhymes-ai/Allegro, transformer/config.json; 88 frames are 22 of the latent",
    ),
    Preset(
        name="open-sora-2", layers=57, single_layers=38, hidden=3072, heads=24, channels=64,
        text=Joint(tokens=512, channels=4096),
        width_px=256, height_px=256, frames=129, token_frames=4, forwards=2,
        source="hpcaitech/Open-Sora 2.0, configs: FLUX's blocks, HunyuanVideo's encoder",
    ),
    Preset(
        # 204 frames are 36 of its latent, each a 16th of a side; a token is one place of it.
        name="step-video-t2v", layers=48, hidden=6144, heads=48, channels=64,
        modulation=Modulation(shared=True), text=Cross(tokens=397, channels=6144),
        width_px=992, height_px=544, frames=36, forwards=2,
        source="stepfun-ai/stepvideo-t2v; Ma et al. 2025; 77 CLIP, 320 other tokens",
    ),
    Preset(
        name="mochi-1", layers=48, hidden=3072, heads=24, mlp=8192, gated=True, channels=48,
        modulation=Modulation(parts=(1, 2, 4, 5)),
        text=Joint(tokens=256, channels=4096, width=1536, mlp=4096, ends=True),
        width_px=848, height_px=480, frames=49, token_frames=6, forwards=2,
        steps=64,
        source="genmo/mochi-1-preview",
    ),
)  # fmt: skip

PRESETS = {
    preset.name: preset
    for preset in (
        *_SMALL, *_TRAINED, *_OF_CLASSES, *_WITH_EXPERTS, *_OF_IMAGES, *_OF_VIDEOS,
    )
}  # fmt: skip

#: What a name may be followed by: "flux.1-dev:width=2048:height=2048:text=256".
PARAMETERS = {
    "width": "width_px",
    "height": "height_px",
    "frames": "frames",
    "text": "text",
    "layers": "layers",
    "single": "single_layers",
}


def preset(text: str) -> Preset:
    """A model's shape: a name of the table, then ":parameter=value" for what is to differ.

    Parameters are width and height in pixels, frames, text in tokens, and layers, of which the last
    `single` have attention and MLP side by side. Raises InputError for a
    name that is not in the table, a parameter or value that is not understood, and a shape that
    cannot be.
    """
    name, *settings = text.split(":")
    if name not in PRESETS:
        raise unknown("model", name, PRESETS)
    chosen = PRESETS[name]
    changes: dict[str, Any] = dict(_changes(chosen, settings))
    return replace(chosen, name=text, trained=False, **changes) if changes else chosen


def _changes(chosen: Preset, settings: list[str]) -> Iterator[tuple[str, object]]:
    """The fields that settings such as "width=2048" ask for."""
    for setting in settings:
        parameter, _, value = setting.partition("=")
        if parameter not in PARAMETERS:
            raise unknown(f"parameter of {chosen.name}", parameter, PARAMETERS)
        if not value.isdecimal():
            raise InputError(f"{chosen.name}: {parameter} is {value!r}, expected an integer")
        if parameter == "single" and chosen.single_layers == 0:
            raise InputError(f"{chosen.name} has no single layers to set the number of")
        if parameter == "frames" and chosen.frames == 1:
            raise InputError(f"{chosen.name} draws one image; it has no frames to set")
        if parameter != "text":
            yield PARAMETERS[parameter], int(value)
        elif chosen.text is None:
            raise InputError(f"{chosen.name} draws classes; it has no text to set the tokens of")
        else:
            yield "text", replace(chosen.text, tokens=int(value))
