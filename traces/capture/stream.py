"""A safetensors file that is written tensor by tensor, so that a step need not fit into memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from traces.errors import InputError
from traces.files import writing

if TYPE_CHECKING:
    import torch

#: Before the data, for the header, which is known last: 8 bytes of length and some 340 tensors.
_ROOM = 32 << 10
_CHUNK = 16 << 20
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


class TensorStream:
    """Writes to `path`, which `finish` renames: until then the step has no file.

    Raises InputError for a type of numbers that traces do not hold, RunError where the disk is
    full or fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, Any] = {}
        self._end = 0
        with writing(path):
            self._file: BinaryIO = path.open("w+b")
            self._file.seek(_ROOM)

    def add(self, key: str, tensor: torch.Tensor) -> None:
        """One more; on the processor and contiguous."""
        import torch

        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in _DTYPES:
            raise InputError(f"{self.path}: {key!r} is of {dtype}, which traces do not hold")
        start, self._end = self._end, self._end + tensor.nbytes
        self._entries[key] = {
            "dtype": _DTYPES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, self._end],
        }
        with writing(self.path):
            self._file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)

    def finish(self, path: Path) -> None:
        """The file is whole, and has this name."""
        header = json.dumps(self._entries, separators=(",", ":")).encode()
        room = max(_ROOM, 8 + len(header) + -len(header) % 8)
        with writing(self.path):
            if room > _ROOM:
                self._move(room - _ROOM)
            self._file.seek(0)
            # Spaces after it, as the format allows.
            self._file.write((room - 8).to_bytes(8, "little") + header.ljust(room - 8))
            self._file.close()
            self.path.replace(path)

    def drop(self) -> None:
        """It will not be finished: nothing is left of it."""
        with writing(self.path):
            self._file.close()
            self.path.unlink(missing_ok=True)

    def _move(self, by: int) -> None:
        """The data to where a longer header ends; the last first, as they may overlap."""
        for low in reversed(range(_ROOM, _ROOM + self._end, _CHUNK)):
            self._file.seek(low)
            some = self._file.read(min(_CHUNK, _ROOM + self._end - low))
            self._file.seek(low + by)
            self._file.write(some)
