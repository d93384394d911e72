"""Every schedule with every codec, in real processes over gloo: the same bits as in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simnet.codecs.named import names as codec_names
from traces.join import join
from traces.trace import Trace

pytestmark = pytest.mark.slow
SEVERAL = Path(__file__).parent / "live" / "several.py"
#: All that stand by themselves, and what is around them.
PLAIN = ("ring", "ulysses", "usp", "patch", "distrifusion:layers=2", "pipefusion", "tensor")
AROUND = ("cfg+ring/residual-2bit", "cfg+pipefusion", "cfg+tensor", "data+cfg+patch/residual-int4")
#: Live, what is sent depends on what the gate chooses.
EXPERTS = (
    "expert",
    "expert:wire=float8",
    "displaced-expert:skip=random",
    "interweaved:stride=2",
    "dice",
    "dice:communicators=3:scores=latest",
    "dice-released",
    "cfg+interweaved",
)
EXPERT_ROWS = (
    "expert:wire=float16:communicators=3/residual-int8",
    "interweaved:stride=2/residual-1bit",
    "displaced-expert:placement=blocked/residual-2bit:error_feedback=0",
    "data+dice/residual-1bit",
    "dice:capacity=1.25",
    "cfg+interweaved:capacity=0.5:wire=float8",
)


def all_codecs(*schedules: str) -> tuple[str, ...]:
    """Each schedule with none, and with every codec there is."""
    return tuple(
        text + codec
        for text in schedules
        for codec in ("", *(f"/{name}" for name in codec_names()))
    )


@pytest.mark.parametrize(
    ("model", "ranks", "texts"),
    [
        ("dit-nano", 3, all_codecs("ring")),
        ("mmdit-tiny:text=10", 2, all_codecs("patch", "distrifusion:layers=2")),
        ("dit-nano", 4, all_codecs("usp")),
        ("mmdit-tiny:text=10", 2, all_codecs("ulysses", "pipefusion")),
        ("skipdit-tiny", 4, (*PLAIN, *AROUND)),
        ("dit-moe-nano", 4, EXPERTS),
        ("dit-moe-nano", 4, EXPERT_ROWS),
        ("mmdit-tiny:text=10", 3, (*PLAIN[:2], *PLAIN[3:], "usp:ulysses=1/residual2-1bit")),
    ],
    ids=[
        "ring",
        "patch-distrifusion",
        "usp",
        "ulysses-pipefusion",
        "4-ranks",
        "experts",
        "expert-rows",
        "3-ranks",
    ],
)
def test_processes_give_the_same_bits_as_one_process_with_every_codec(
    model: str, ranks: int, texts: tuple[str, ...], tmp_path: Path
) -> None:
    """Latents of all ranks and steps, and volumes; a sum over ranks may be rounded otherwise."""
    command = [sys.executable, str(SEVERAL), str(tmp_path), model, str(ranks), *texts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    if texts not in (EXPERTS, EXPERT_ROWS):  # which claim what an even gate would send
        assert done.stdout == "as claimed\n"
    live, local = Trace.open(tmp_path / "live"), Trace.open(tmp_path / "local")
    assert live.ops["wire_bytes"].tolist() == local.ops["wire_bytes"].tolist()
    assert live.problems == ()
    join(live, local)  # the same rows, with the same shapes
    for number, text in enumerate(texts):
        kept, expected = (trace.activations(f"latent {number}") for trace in (live, local))
        if "tensor" in text:
            np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-4)
        else:
            np.testing.assert_array_equal(kept, expected, err_msg=text)
