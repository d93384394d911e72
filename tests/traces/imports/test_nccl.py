"""A GPU's profile, built by hand from the fields that PyTorch documents: none could be recorded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from traces.imports.formats import read
from traces.trace import Trace

Event = dict[str, Any]
US = 1e-6


def event(cat: str, name: str, tid: Any, ts: float, dur: float, **args: Any) -> Event:
    """A slice, in microseconds."""
    found = {"ph": "X", "cat": cat, "name": name, "pid": 0, "tid": tid, "ts": ts, "dur": dur}
    return found | {"args": args}


class Gpu:
    """A rank whose host launches kernels, and whose GPU runs them in two streams."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.events: list[Event] = []
        self.launched = 0

    def kernel(self, host: float, start: float, dur: float, name: str = "gemm") -> None:
        """Launched at `host`, and run from `start`."""
        self.launched += 1
        stream = 20 if name.startswith("nccl") else 7
        ids = {"correlation": self.launched, "External id": self.launched}
        self.events += [
            event("cuda_runtime", "cudaLaunchKernel", 1, host, 1, **ids),
            event("kernel", name, f"stream {stream}", start, dur, stream=stream, **ids),
        ]

    def collective(
        self, host: float, span: tuple[float, float], name: str, numbers: int, **more: Any
    ) -> None:
        """record_param_comms and, launched within it, the kernel that runs in `span`."""
        args = {
            "External id": self.launched + 1,
            "Collective name": name,
            "In msg nelems": numbers,
            "Out msg nelems": numbers,
            "dtype": "BFloat16",
            "Group size": 2,
            "Process Group Name": "0",
            "Process Group Ranks": "[0, 1]",
        }
        self.events.append(event("cpu_op", "record_param_comms", 1, host, 4, **args | more))
        self.kernel(host + 1, *span, name="ncclDevKernel_Generic")

    def write(self, path: Path) -> Path:
        """The file."""
        config = [{"pg_name": "0", "pg_desc": "default_pg", "pg_size": 2, "ranks": [0, 1]}]
        info = {"backend": "nccl", "rank": self.rank, "world_size": 2, "pg_config": config}
        data = {
            "distributedInfo": info,
            "deviceProperties": [{"name": "NVIDIA L20"}],
            "baseTimeNanoseconds": 0,
            "traceEvents": self.events,
        }
        path.write_text(json.dumps(data))
        return path


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Two ranks: a kernel, a gather beside another kernel, a blocking exchange, two messages."""
    files = []
    for rank in (0, 1):
        gpu = Gpu(rank)
        gpu.events.append(event("user_annotation", "ProfilerStep#4", 1, 0, 100))
        gpu.kernel(10, 100, 50)
        asynchronous = {"Is asynchronized op": True, "Seq": 3}
        gpu.collective(20, (150, 80), "_allgather_base", 1000, **asynchronous)
        gpu.kernel(30, 150, 30)
        waited = {"Collective name": "wait", "Seq": 3}
        gpu.events.append(event("cpu_op", "record_param_comms", 1, 40, 1, **waited))
        gpu.kernel(50, 230, 10)
        blocking = {"Is asynchronized op": False, "In split size": "[1, 3]"}
        gpu.collective(60, (240, 40), "all_to_allv", 4000, **blocking)
        peer = {"Dst Rank" if rank == 0 else "Src Rank": 1 - rank}
        gpu.collective(70, (290, 20), "send" if rank == 0 else "recv", 500, **peer)
        gpu.kernel(80, 310, 5)
        gpu.kernel(81, 325, 5)
        files.append(gpu.write(tmp_path / f"gpu{rank}.json"))
    return read(files)


def test_rows_follow_the_order_of_launching_and_the_times_of_the_gpu(trace: Trace) -> None:
    """The gather is asked for when the stream gets there, and waited for where the host says."""
    rows = trace.ops[trace.ops["rank"] == 0]
    assert rows["kind"].tolist() == [
        *("compute", "all_gather", "compute", "wait", "compute", "all_to_all", "wait"),
        *("send", "wait", "compute"),
    ]
    starts = (rows["start_s"] / US).tolist()
    assert starts == pytest.approx([0, 50, 50, 80, 130, 140, 140, 180, 180, 220])
    ends = (rows["end_s"] / US).tolist()
    assert ends == pytest.approx([50, 130, 80, 130, 140, 180, 180, 210, 210, 230])


def test_only_what_ran_is_cost_and_gaps_are_the_hosts(trace: Trace) -> None:
    """Two kernels of 5 us with 10 us between are 10 us of compute after as long a gap."""
    last = trace.ops[trace.ops["rank"] == 0].iloc[-1]
    assert last["cost_s"] == pytest.approx(10 * US)
    assert last["host_s"] == pytest.approx(10 * US)


def test_bytes_peers_and_parts_come_from_the_recorded_arguments(trace: Trace) -> None:
    """Two bytes an element; the first row's step is the profiler's."""
    rows = {(row.rank, row.kind): row for row in trace.ops.itertuples()}
    assert rows[0, "all_gather"].bytes == 2000
    assert rows[0, "all_to_all"].parts == "2000,6000"
    assert (rows[0, "send"].dst, rows[1, "recv"].src) == (1, 0)
    assert rows[0, "send"].bytes == 1000
    assert set(trace.ops["step"]) == {0}
    assert set(trace.ops["stream"]) == {"compute", "default_pg"}
    assert "rank 0: the file does not say whether 1 transfers block; taken to" in trace.problems
    run = trace.run
    assert (run.device, run.network, run.dtype) == ("NVIDIA L20", "recorded with nccl", "bfloat16")


def test_a_collective_whose_kernel_is_not_there_was_never_seen_to_end(tmp_path: Path) -> None:
    """Nor is it waited for."""
    gpu = Gpu(0)
    gpu.kernel(10, 100, 50)
    gpu.collective(20, (150, 80), "allreduce", 1000)
    gpu.events = [e for e in gpu.events if not e["name"].startswith("nccl")]
    rows = read([gpu.write(tmp_path / "gpu.json")]).ops
    assert rows["kind"].tolist() == ["compute", "all_reduce"]
    assert math.isnan(rows["end_s"].iloc[1])
