"""Whole tensors to a trace's safetensors files, a file a step, while the program goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from traces.capture.spool import Keys, Spool
from traces.capture.stream import TensorStream
from traces.reading import file_name
from traces.units import format_bytes

if TYPE_CHECKING:
    import torch

    from traces.capture.activations import FullTensors

#: Where the file that is being written lies, until its step's number is known.
UNFINISHED = "step-unfinished.safetensors.tmp"


class WholeSink:
    """See `traces.capture.activations.Sink`. A finished step's file is whole or not there.

    What a step's rows say and what there is of its tensors may differ by what waited for the disk
    when the process ended: then the last steps have no file.
    """

    def __init__(self, what: FullTensors, folder: Path, rank: int) -> None:
        self.names = what.names
        self.folder = folder
        self.spool = Spool(f"rank {rank}, {folder}", what.queue_bytes)
        self.nbytes = 0
        self.steps = 0
        self._keys = Keys()
        self._stream: TensorStream | None = None  # of the spool's thread

    @property
    def error(self) -> Exception | None:
        """Why it stopped; None while all is well."""
        return self.spool.error

    @property
    def report(self) -> str:
        """What was written, and how long the program waited for that."""
        written = f"{format_bytes(self.nbytes)} of activations in {self.steps} steps"
        return f"{written}; {self.spool.report}"

    def take(self, name: str, layer: int, tensor: torch.Tensor) -> None:
        """See Sink. Copies; waits while as much as was agreed on waits for the disk."""
        if self.error is not None:
            return
        with self.spool.guarding():
            key = self._keys.next(name, layer)
            copy, ready = _copied(tensor.detach())

            def write() -> None:
                if ready is not None:
                    ready.synchronize()
                self._write(key, copy)

            self.spool.put(copy.nbytes, write)

    def step_done(self, step: int) -> None:
        """See Sink."""
        self._keys.step_done()
        self.spool.put(0, lambda: self._finish(step))

    def close(self) -> None:
        """See Sink."""
        self.spool.close()
        with self.spool.guarding():
            if self._stream is not None:
                self._stream.drop()

    def _write(self, key: str, tensor: torch.Tensor) -> None:
        if self._stream is None:
            self._stream = TensorStream(self.folder / UNFINISHED)
        self._stream.add(key, tensor)
        self.nbytes += tensor.nbytes

    def _finish(self, step: int) -> None:
        if self._stream is not None:
            self._stream.finish(self.folder / file_name(step))
            self._stream = None
            self.steps += 1


def _copied(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """On the processor, contiguous; and when it is there, if that is later."""
    import torch

    if tensor.device.type != "cuda":
        whole = torch.contiguous_format
        return tensor.to("cpu", copy=True, memory_format=whole), None
    # A pinned buffer is copied to while the device goes on; the caching allocator reuses it.
    buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    buffer.copy_(tensor, non_blocking=True)
    ready = torch.cuda.Event()
    ready.record(torch.cuda.current_stream(tensor.device))
    return buffer, ready
