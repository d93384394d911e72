"""Finds the preset that a published model's name and resolution mean, however they are spelt."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from simnet.models.presets import PRESETS
from simnet.models.shape import Preset


class NotRepresented(Exception):  # noqa: N818 - not an error of anybody's
    """Why a row cannot be predicted."""


#: What a name has in it, and the preset that it is; the first that fits.
_KNOWN = (
    (r"pixart-?.*sigma", "pixart-alpha:text=300"),
    (r"pixart", "pixart-alpha"),
    (r"flux.*schnell", "flux.1-schnell"),
    (r"flux\.?-?2", "flux.2-dev"),
    (r"flux", "flux.1-dev"),
    (r"(sd|stable-?diffusion)-?3\.5-?large", "sd3.5-large"),
    (r"(sd|stable-?diffusion)-?3(?!\.5)", "sd3-medium"),
    (r"hunyuan-?video|skyreels-?v1", "hunyuanvideo"),
    (r"hunyuan-?dit", "hunyuandit"),
    (r"cogvideox-?1\.5", "cogvideox1.5-5b"),
    (r"cogvideox-?2b", "cogvideox-2b"),
    (r"cogvideox|consisid", "cogvideox-5b"),
    (r"wan.*(?<![\d.])5b", "wan2.2-ti2v-5b"),
    (r"(wan|skyreels-?v2).*1\.3b", "wan2.1-1.3b"),
    (r"(wan|skyreels-?v2).*14b", "wan2.1-14b"),
    (r"mochi", "mochi-1"),
    (r"qwen-?image", "qwen-image"),
    (r"z-?image", "z-image-turbo"),
    (r"allegro", "allegro"),
    (r"open-?sora-?(v?2|2\.0)", "open-sora-2"),
    (r"step-?video", "step-video-t2v"),
    (r"dit-?moe-?g", "dit-moe-g"),
    (r"dit-?moe", "dit-moe-xl"),
    (r"dit-?xl", "dit-xl-2"),
)
#: Kin of those above whose shapes or forwards a step are others.
_KIN = (
    r"flux.*(klein|kontext)|hunyuan-?video.*1\.5|(sd|stable-?diffusion)-?3\.5.*turbo|"
    r"z-?image-?(base|omni|edit)"
)
_SEVERAL = ("wan2.1-1.3b", "wan2.1-14b", "wan2.2-ti2v-5b", "hunyuanvideo")
_U_NETS = r"sdxl|sd-?[12]|stable-?diffusion-?(xl|v?[12])|u-?net"

#: Pictures by what their height is called, 16:9.
_CALLED = {"480p": (832, 480), "540p": (960, 544), "720p": (1280, 720), "1080p": (1920, 1088)}
_LARGEST_PX, _MOST_FRAMES = 32768, 1024


class Shape(NamedTuple):
    """A preset and how large a picture it draws: what a run's tokens and pixels come to."""

    name: str  # of the preset, with parameters
    pixels: int
    frames: int

    def split(self, parts: int) -> str:
        """The name of a model with this one's tokens, or up to parts - 1 more, in equal parts.

        Public code pads a sequence that does not split evenly, or gives some ranks a row more.
        """
        tokens = _preset(self.name).tokens
        if tokens % parts == 0:
            return self.name
        shape = _preset(self.name)
        padded = math.ceil(tokens / parts) * parts
        name = f"{self.name}:width={padded * shape.token_px}:height={shape.token_px}"
        return name + (":frames=1" if shape.frames > 1 else "")


def shape_of(model: str, resolution: str) -> Shape:
    """The preset of a model at a resolution; raises NotRepresented with a reason."""
    plain = re.sub(r"[\s_]+", "-", model.lower())
    if re.search(_KIN, plain):
        raise NotRepresented(f"no public shape here of the model {model}")
    for pattern, name in _KNOWN:
        if re.search(pattern, plain):
            return _sized(model, name, resolution)
    if re.search(_U_NETS, plain):
        raise NotRepresented("U-Net models")
    raise NotRepresented(f"no public shape here of the model {model}")


def _sized(model: str, name: str, resolution: str) -> Shape:
    shape = _preset(name)
    stated = f"{resolution} {model}".lower()
    if name in _SEVERAL and not re.search(r"\d\s*[x×*]\s*\d|\d{3,4}p", stated):
        raise NotRepresented("resolution not stated, of a model that is used at several")
    width, height, frames = _numbers(stated, shape)
    px = shape.token_px
    # As the models' own code rounds: a token stands for whole pixels, and latents for frames.
    columns, rows = max(1, round(width / px)), max(1, round(height / px))
    latents = max(0, math.ceil((frames - 1) / shape.token_frames)) if shape.frames > 1 else 0
    if shape.frames > 1 and frames % shape.token_frames == 0:  # 88 are 22, not 1 + 22
        latents = frames // shape.token_frames - 1
    if shape.frames > 1 and shape.token_frames == 1:  # frames of the latent already
        latents = shape.frames - 1
    sized = f"{name}:width={columns * px}:height={rows * px}"
    if shape.frames > 1:
        sized += f":frames={1 + latents * shape.token_frames}"
    return Shape(sized, columns * rows * px * px, frames if shape.frames > 1 else 1)


def _numbers(text: str, shape: Preset) -> tuple[int, int, int]:
    """Width, height and frames; the preset's where the text has none."""
    width, height, frames = shape.width_px, shape.height_px, shape.frames
    size = re.search(r"(\d{2,5})\s*[x×*]\s*(\d{2,5})(?:\s*[x×*]\s*(\d{1,4})\s*f?)?", text)
    called = next((sizes for name, sizes in _CALLED.items() if name in text.lower()), None)
    square = re.match(r"\s*(\d{3,5})(?:\s*px)?(?:\s|$)", text)
    if size:
        width, height = int(size[1]), int(size[2])
        frames = int(size[3]) if size[3] else frames
    elif called:
        width, height = called
    elif square:
        width = height = int(square[1])
    elif not re.match(r"\s*(?:n/s|default|\(|[a-z])", text):
        raise NotRepresented(f"the resolution of {text.strip()}")
    counted = re.search(r"(?<![\dx×*])(\d{1,4})\s*(?:f|frames)\b", text)
    if counted:
        frames = int(counted[1])
    if min(width, height) < 16 or max(width, height) > _LARGEST_PX:
        raise NotRepresented(f"a picture of {width} x {height} pixels")
    if not 1 <= frames <= _MOST_FRAMES:
        raise NotRepresented(f"a video of {frames} frames")
    return width, height, frames


def _preset(name: str) -> Preset:
    from simnet.models.presets import preset

    return PRESETS.get(name) or preset(name)
