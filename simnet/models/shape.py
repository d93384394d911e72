"""The shape of a diffusion transformer: all that its arithmetic, memory and traffic depend on."""

from __future__ import annotations

from dataclasses import dataclass

from traces.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a model is told to draw, as text encoders give it; those are no part of a model."""

    tokens: int  # S
    channels: int  # of one token
    width: int | None = None  # of a token inside the network; None: as wide as the image's


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint(Text):
    """Text tokens stand beside the image's in one attention (Esser et al. 2024, MM-DiT)."""

    mlp: int | None = None  # inner width of the text's MLP; None: 4 times its width
    shared: bool = False  # text uses the image's weights, all but the modulation's (CogVideoX)
    ends: bool = False  # the last layer lets the image see the text, and then drops the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Cross(Text):
    """Image tokens see the text in an attention of their own (Chen et al. 2023, PixArt)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modulation:
    """How time and class reach a block: as shifts, scales and gates (Peebles & Xie 2023, adaLN)."""

    #: Which of the attention's shift, scale and gate (0, 1, 2) and of the MLP's (3, 4, 5).
    parts: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    width: int | None = None  # of the condition; None: as wide as the image's tokens
    shared: bool = False  # worked out once a step for all blocks (Chen et al. 2023, adaLN-single)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of experts in the MLP's place (Fei et al. 2024, "DiT-MoE", section 3)."""

    count: int  # E
    top: int = 2  # k, those that a token is sent to
    inner: int | None = None  # width inside an expert, a SwiGLU; None: 4 D
    shared: int | None = None  # width inside the one that all tokens pass; None: 2 D


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model's shape; its weights are random, unless it is said to have been trained.

    Raises InputError for a shape that no diffusion transformer can have.
    """

    name: str
    source: str  # where the shape is published
    layers: int
    single_layers: int = 0  # so many of them, the last, have attention and MLP side by side
    long_skips: bool = False  # a layer of the first half also feeds its mirror image in the second
    hidden: int  # D, the width of an image token inside the network
    heads: int  # H
    mlp: int | None = None  # inner width of the MLP; None: 4 D
    gated: bool = False  # the MLP is a SwiGLU (Shazeer 2020)
    experts: Experts | None = None  # in place of the MLP
    qk_norm: bool = False  # each head's queries and keys are normalised
    modulation: Modulation = Modulation()
    text: Text | None = None
    classes: int = 0  # of images, for a model that draws those instead of what a text says
    channels: int  # C, of one token of the latent
    width_px: int
    height_px: int
    frames: int = 1
    token_px: int = 16  # side of the square that a token stands for: 8 of the encoder, 2 of a patch
    token_frames: int = 1  # that a token stands for, after the first frame, which has its own
    forwards: int = 1  # a step: 2 with classifier-free guidance
    #: How much further than the asked-for velocity to go, away from the one for no text or class
    #: in particular (Ho & Salimans 2022, "Classifier-Free Diffusion Guidance").
    guidance: float = 4.0
    steps: int = 50  # that the publishers use
    trained: bool = False  # its weights come with this package
    #: FLOP outside the steps: for each token that is encoded, and each pixel that is decoded.
    encoder_flop: float = 0.0
    decoder_flop: float = 0.0

    def __post_init__(self) -> None:
        counts = ("layers", "hidden", "heads", "channels", "width_px", "height_px", "frames")
        for name in counts:
            if getattr(self, name) < 1:
                raise self._refusal(name, "1 or more")
        if self.single_layers > self.layers:
            raise InputError(
                f"model {self.name!r}: {self.single_layers} of its {self.layers} layers are "
                'single; set both, as in "layers=4:single=2"'
            )
        for name in ("width_px", "height_px"):
            if getattr(self, name) % self.token_px:
                raise self._refusal(name, f"a multiple of {self.token_px}")
        if (self.frames - 1) % self.token_frames:
            raise self._refusal("frames", f"1 more than a multiple of {self.token_frames}")
        if self.text is not None and self.text.tokens < 1:
            raise InputError(
                f"model {self.name!r}: its text has {self.text.tokens} tokens, expected 1 or more"
            )
        if self.experts is not None and not 1 <= self.experts.top <= self.experts.count:
            raise InputError(
                f"model {self.name!r}: a token has {self.experts.top} of {self.experts.count} "
                "experts, expected from 1 to all of them"
            )
        self._check_splits()

    def _check_splits(self) -> None:
        # 4: a sine and a cosine for each of a token's two coordinates.
        for divisor, what in ((self.heads, "heads"), (4, "parts of its position")):
            if self.hidden % divisor:
                raise InputError(
                    f"model {self.name!r}: hidden is {self.hidden}, which does not split evenly "
                    f"into {divisor} {what}"
                )

    def _refusal(self, field: str, expected: str) -> InputError:
        value = getattr(self, field)
        return InputError(f"model {self.name!r}: {field} is {value}, expected {expected}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens in time, down and across."""
        frames = 1 + (self.frames - 1) // self.token_frames
        return frames, self.height_px // self.token_px, self.width_px // self.token_px

    @property
    def tokens(self) -> int:
        """T, of one image or video."""
        frames, rows, columns = self.grid
        return frames * rows * columns

    @property
    def text_tokens(self) -> int:
        """S, of the text; none for a model that draws classes."""
        return 0 if self.text is None else self.text.tokens

    @property
    def outside_flop(self) -> float:
        """To encode the text and decode the latent, once; 0 where nobody has counted it."""
        pixels = self.frames * self.width_px * self.height_px
        return self.text_tokens * self.encoder_flop + pixels * self.decoder_flop

    @property
    def head_dim(self) -> int:
        """E, the width of a head."""
        return self.hidden // self.heads

    def joint_tokens(self, parts: int) -> int:
        """Text tokens that stand beside the image's in each of so many parts of the sequence.

        They are split where they split evenly. Otherwise every part has all of them.
        """
        if not isinstance(self.text, Joint):
            return 0
        return self.text_tokens // parts if self.text_tokens % parts == 0 else self.text_tokens

    def text_share(self, parts: int) -> int:
        """Those of them whose keys and values travel: none where every part has all."""
        return self.joint_tokens(parts) if self.text_tokens % parts == 0 else 0

    def skips(self, layer: int) -> int:
        """Tokens of earlier layers that are laid by when a layer begins, for later ones."""
        half = self.layers // 2
        if not self.long_skips:
            return 0
        return min(layer, half - 1) - max(0, layer - half)
