"""A small network that tells the ten classes of Fashion-MNIST apart: the eye that judges pictures.

Shapes: N pictures of 28 x 28 bytes, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from simnet.training.fashion import CLASSES, SIDE_PX
from traces.errors import InputError
from traces.files import replacing

NAME = "fashion-classifier"
#: F, what it says of a picture before it chooses a class.
FEATURES = 64

#: Mean and deviation of the training set's bytes.
_MEAN, _DEVIATION = 72.94, 90.02
#: Output channels of each convolution, 3 x 3; before those marked, the picture is halved.
_CHANNELS = ((24, False), (32, True), (64, False), (96, True), (FEATURES, False))
#: Pictures looked at together: as many as fit a processor's cache.
_TOGETHER = 256


class Classifier(nn.Module):
    """Five convolutions, an average over the picture, and a choice."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers())
        self.choice = nn.Linear(FEATURES, len(CLASSES))

    def features(self, images: Tensor) -> Tensor:
        """What it makes of pictures (N, 28, 28): (N, F), 0 or more."""
        normal = (images.unsqueeze(1).float() - _MEAN) / _DEVIATION
        seen: Tensor = self.layers(normal).mean(dim=(2, 3))
        return seen

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of the classes."""
        logits: Tensor = self.choice(self.features(images))
        return logits


class Seen(NamedTuple):
    """What a classifier makes of pictures."""

    features: Tensor  # (N, F)
    classes: Tensor  # (N,), the likeliest


class Judge(NamedTuple):
    """A trained classifier, with what it makes of the real test set."""

    classifier: Classifier
    mean: Tensor  # (F,), of the test set's features, float64
    covariance: Tensor  # (F, F)

    def see(self, images: Tensor) -> Seen:
        """Features and classes of pictures (N, 28, 28) of bytes; raises InputError for others."""
        if images.dtype != torch.uint8 or images.shape[1:] != (SIDE_PX, SIDE_PX):
            raise InputError(
                f"pictures to judge are {tuple(images.shape)} of {images.dtype}, expected "
                f"(N, {SIDE_PX}, {SIDE_PX}) of torch.uint8"
            )
        with torch.inference_mode():
            features = torch.cat(
                [self.classifier.features(some) for some in images.split(_TOGETHER)]
            )
            return Seen(features, self.classifier.choice(features).argmax(dim=1))

    def save(self, path: Path) -> None:
        """Weights in half precision, and the test set's mean and covariance in single."""
        from safetensors.torch import save_file

        weights = {
            f"weight/{name}": value.half() if value.is_floating_point() else value
            for name, value in self.classifier.state_dict().items()
        }
        known = {"test/mean": self.mean.float(), "test/covariance": self.covariance.float()}
        with replacing(path) as temporary:
            save_file(weights | known, temporary)


def judge(path: Path | None = None) -> Judge:
    """The one that comes with the package, or one from a file that `Judge.save` wrote.

    Raises InputError where it is missing or something else.
    """
    if path is not None:
        return _read(path)
    with as_file(files("simnet.models") / "trained" / f"{NAME}.safetensors") as shipped:
        return _read(shipped)


def _read(path: Path) -> Judge:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        weights = {
            name.removeprefix("weight/"): value
            for name, value in tensors.items()
            if name.startswith("weight/")
        }
        classifier = Classifier()
        classifier.load_state_dict(weights)  # copies into single precision
        known = tensors["test/mean"].double(), tensors["test/covariance"].double()
    except FileNotFoundError:
        raise InputError(
            f"{path}: the classifier is missing; `thinwire train --model {NAME} --out {path}` "
            "makes it"
        ) from None
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: not the weights of {NAME}: {error}") from None
    return Judge(classifier.eval().requires_grad_(requires_grad=False), *known)


def _layers() -> Iterator[nn.Module]:
    before = 1
    for channels, halved in _CHANNELS:
        if halved:
            yield nn.MaxPool2d(2)
        yield nn.Conv2d(before, channels, 3, padding=1, bias=False)
        yield nn.BatchNorm2d(channels)
        yield nn.ReLU()
        before = channels
