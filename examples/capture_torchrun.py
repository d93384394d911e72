"""Records a program that torchrun starts, without a change to it, and replays it on slow networks.

The program is programs/denoise.py. What is run here is, on a command line,

    torchrun --nproc-per-node 2 -m traces.capture --out T examples/programs/denoise.py --steps 4
    thinwire replay T --network ethernet-1g
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from simnet.drivers.replay import replay
from simnet.network.presets import network
from traces import Trace, summarize

PROGRAM = Path(__file__).parent / "programs" / "denoise.py"


def main() -> None:
    """Record it in two processes; say what was recorded, and how long it would take elsewhere."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "T"
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        recorded = ["-m", "traces.capture", "--out", str(out), str(PROGRAM), "--steps", "4"]
        subprocess.run([*torchrun, "--nproc-per-node", "2", *recorded], check=True)
        trace = Trace.open(out)
        print(trace.ops.groupby("kind").agg(rows=("seq", "size"), bytes=("bytes", "sum")))
        summary = summarize(trace)
        print(f"{summary.total_s:.3f} s ({summary.evidence}), as it ran")
        for name in ("ethernet-10g", "ethernet-1g", "ethernet-100m"):
            summary = summarize(replay(trace, network(name)))
            print(f"{summary.total_s:.3f} s ({summary.evidence}) on {name}")


if __name__ == "__main__":
    main()
