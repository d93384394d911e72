"""What sketching costs beside the model, and what it takes of memory and disk at FLUX's size.

Run by `make bench`. All times are the processor's, so what else runs on the machine counts little.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from traces.reduced_file import tensor_bytes

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

#: FLUX.1-dev at 1024 x 1024: 4096 tokens of the image and 512 of the text.
STEPS, LAYERS, TOKENS, CHANNELS, NAMES = 28, 57, 4608, 3072, ("k", "v", "hidden")
TENSORS = STEPS * LAYERS * len(NAMES)
MOST_SHARE, MOST_DISK_BYTES, MOST_MORE_BYTES, MOST_MEMORY_BYTES = 0.10, 200e6, 300e6, 2e9


def child(code: str, *arguments: object) -> list[float]:
    """What a process with one thread prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(number) for number in done.stdout.split()]


BLOCK = """
import sys
from pathlib import Path
from time import process_time

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from traces.capture.activations import parse

torch.set_num_threads(1)
tokens, width, heads = (int(number) for number in sys.argv[2:5])

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        split = [each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (q, k, v)]
        x = x + self.out(scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(x))), k, v

def timed(call):
    began_s = process_time()
    found = call()
    return process_time() - began_s, found

with torch.no_grad():
    block, x = Block(), torch.randn(1, tokens, width)
    block_s, taking_s = [], []
    sink = parse(sys.argv[5]).sink(Path(sys.argv[1]), 0)
    for step in range(4):
        took_s, found = timed(lambda: block(x))
        block_s.append(took_s)
        def take():
            for name, tensor in zip(("hidden", "k", "v"), found):
                sink.take(name, 0, tensor)
            sink.step_done(step)
        taking_s.append(timed(take)[0])
    sink.close()
    assert sink.error is None
print(min(block_s), min(taking_s[1:]))
"""


@pytest.mark.parametrize("form", ["k,v,hidden:sketch", "k,v,hidden:sketch,lags=1"])
def test_sketching_beside_a_transformer_block(tmp_path: Path, form: str) -> None:
    """A block of a quarter of FLUX's tokens and half its width: relatively dearer than in full.

    A number is sketched at a cost that does not grow with the width, while the block's does.
    """
    block_s, taking_s = child(BLOCK, tmp_path, TOKENS // 4, CHANNELS // 2, 12, form)
    share = taking_s / block_s
    print(
        f"\n{form}: {1e3 * taking_s:.1f} ms beside {1e3 * block_s:.0f} ms of a block of "
        f"{TOKENS // 4} x {CHANNELS // 2}: {share:.1%} (bar: {MOST_SHARE:.0%})",
        end="",
    )
    assert share < MOST_SHARE


FLUX = """
import resource, sys
from pathlib import Path
from time import process_time

import torch

from traces.capture.activations import parse

torch.set_num_threads(1)
steps, layers, tokens, channels = (int(number) for number in sys.argv[2:6])
x = torch.randn(1, tokens, channels).bfloat16()
sink = parse("k,v,hidden:sketch").sink(Path(sys.argv[1]), 0)
before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began_s = process_time()
for step in range(steps):
    x[:, step :: steps] += 1
    for layer in range(layers):
        for name in sink.names:
            sink.take(name, layer, x)
    sink.step_done(step)
took_s = process_time() - began_s
sink.close()
assert sink.error is None
peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(took_s, 1024 * (peak_kb - before_kb), 1024 * peak_kb)
"""


def test_flux_in_sketches(tmp_path: Path) -> None:
    """All layers of two steps, at full size, of keys, values and hidden states in bfloat16.

    The other steps are of the same size: that of the closed formula, which holds within a few per
    cent, for headers.
    """
    steps = 2
    took_s, more_bytes, peak_bytes = child(FLUX, tmp_path, steps, LAYERS, TOKENS, CHANNELS)
    measured = sum(path.stat().st_size for path in tmp_path.iterdir()) * STEPS / steps
    formula = TENSORS * tensor_bytes(TOKENS, CHANNELS, 10007)
    whole = 2 * TENSORS * TOKENS * CHANNELS
    each_s = took_s / (steps * LAYERS * len(NAMES))
    print(
        f"\nan image of FLUX.1-dev, {whole / 1e9:.0f} GB, {whole / 3e9:.0f} each of "
        f"{', '.join(NAMES)}: {measured / 1e6:.0f} MB on disk (formula: {formula / 1e6:.0f}; bar: "
        f"{MOST_DISK_BYTES / 1e6:.0f}); {more_bytes / 1e6:.0f} MB of memory (bar: "
        f"{MOST_MORE_BYTES / 1e6:.0f}), with torch and all {peak_bytes / 1e9:.2f} GB (bar: "
        f"{MOST_MEMORY_BYTES / 1e9:.0f}); {1e3 * each_s:.0f} ms of a core a tensor, "
        f"{TENSORS * each_s:.0f} s an image",
        end="",
    )
    assert formula < measured < 1.03 * formula
    assert measured < MOST_DISK_BYTES
    assert more_bytes < MOST_MORE_BYTES
    assert peak_bytes < MOST_MEMORY_BYTES
