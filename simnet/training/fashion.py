"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28, ten classes (Xiao et al. 2017)."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from traces.errors import InputError

#: Where Debian's package puts them.
FOLDER = Path("/usr/share/datasets/fashion-mnist")

CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
SIDE_PX = 28
#: Third byte of the header: of unsigned bytes.
_UNSIGNED = 8


class Pictures(NamedTuple):
    """Some of them."""

    images: Tensor  # (N, 28, 28), uint8: 0 is black, which is the background
    labels: Tensor  # (N,), int64


def fashion(part: str, folder: Path = FOLDER) -> Pictures:
    """The 60,000 of `part` "train", or the 10,000 of "t10k".

    Raises InputError where the files are missing, cut short, or something else.
    """
    images = _array(folder / f"{part}-images-idx3-ubyte.gz", dimensions=3)
    labels = _array(folder / f"{part}-labels-idx1-ubyte.gz", dimensions=1)
    if len(images) != len(labels) or images.shape[1:] != (SIDE_PX, SIDE_PX):
        raise InputError(
            f"{folder}: {part} has {len(labels)} labels for images of shape "
            f"{tuple(images.shape)}, expected as many, of 28 x 28"
        )
    return Pictures(images, labels.long())


def _array(path: Path, dimensions: int) -> Tensor:
    """An array in the IDX format: a magic number, the lengths, and then the bytes."""
    try:
        with gzip.open(path) as file:
            content = bytearray(file.read())
    except FileNotFoundError:
        raise InputError(
            f"{path}: not there; install Debian's package dataset-fashion-mnist, or name the "
            "folder that has its four files with --data"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file: {error}") from None
    begin = 4 + 4 * dimensions
    if len(content) < begin or content[:4] != bytes((0, 0, _UNSIGNED, dimensions)):
        raise InputError(f"{path}: not an IDX file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:begin])
    values = torch.frombuffer(content, dtype=torch.uint8)[begin:]
    if values.numel() != torch.Size(shape).numel():
        raise InputError(f"{path}: {values.numel()} bytes, expected {torch.Size(shape).numel()}")
    return values.view(shape)
