"""Files from anywhere: hostile, torn or foreign ones give an error that says where, and soon."""

from __future__ import annotations

import gzip
import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traces.chakra import wire
from traces.chakra.messages import metadata
from traces.errors import InputError, TraceError
from traces.imports import scan
from traces.imports.formats import read
from traces.trace import Trace

Json = dict[str, Any]
FIRST: Json = {"ph": "X", "cat": "cpu_op", "name": "a", "pid": 1, "tid": 1, "ts": 1, "dur": 1}
TYPES = ["TensorList", "", "Scalar", "Scalar"]


def profile(*events: Json, **header: Any) -> str:
    """A torch.profiler file; NaN and Infinity as Python writes them."""
    return json.dumps(header | {"traceEvents": [FIRST, *events]})


def call(name: str, **args: Any) -> Json:
    """A transfer."""
    return FIRST | {"name": name, "args": args}


def send(peer: str) -> Json:
    """To the rank of its group with that number."""
    dims = [[[8]], [], [], []]
    inputs = {"Concrete Inputs": ["", "", peer, "0"], "Input Dims": dims, "Input type": TYPES}
    return call("c10d::send", **inputs)


def info(**fields: Any) -> Json:
    """A file's distributedInfo."""
    return {"distributedInfo": {"rank": 0, "world_size": 2} | fields}


def groups(*entries: Any) -> Json:
    """With these process groups."""
    return info(pg_config=list(entries))


DEEP = "[" * 200_000
PROFILES: list[tuple[str, str]] = [
    ("", "is empty"),
    ("{", "the name of a member, but it is torn"),
    ("[]", "is none of"),
    ('{"traceEvents": 7}', "'traceEvents' to be a list"),
    ('{"a": 1}', "there is no list 'traceEvents'"),
    ('{"traceEvents": [], "traceEvents": []}', "has 'traceEvents' twice"),
    ('{"traceEvents": []}', "has no events with a duration"),
    ('{"traceEvents": [{"ph": "X", ', "element 0 of 'traceEvents', but it is torn"),
    ('{"traceEvents": [1]}', "event 0 is no object"),
    ('{"traceEvents": [' + DEEP, "element 0 of 'traceEvents'.*deeply"),
    ('{"a": ' + DEEP, "the value of 'a'.*deeply"),
    ('{"traceEvents": [' + "9" * 5000 + "]}", "element 0"),
    ('{"traceEvents": [\xff]}', "text in UTF-8"),
    (profile(FIRST | {"ts": math.nan}), "event 1: ts is nan"),
    (profile(FIRST | {"ts": math.inf}), "event 1: ts is inf"),
    (profile(FIRST | {"ts": 1e300}), r"event 1: ts is 1e\+300"),
    (profile(FIRST | {"ts": 10**400}), "event 1: ts is 1000"),
    (profile(FIRST | {"ts": "5"}), "event 1: ts is '5'"),
    (profile(FIRST | {"ts": True}), "event 1: ts is True"),
    (profile(FIRST | {"dur": -1}), "event 1: dur is -1"),
    (profile(baseTimeNanoseconds="now"), "baseTimeNanoseconds is 'now'"),
    (profile(baseTimeNanoseconds=10**30), "baseTimeNanoseconds is 1000"),
    (profile(distributedInfo=[]), "distributedInfo is \\[\\]"),
    (profile(**info(rank=7)), "says rank 7 of 2"),
    (profile(**info(rank=-1)), "says rank -1"),
    (profile(**info(rank="0")), "says rank '0'"),
    (profile(**info(world_size=10**9)), "says world_size 1000000000"),
    (profile(**info(pg_config={})), "expected an object"),
    (profile(**groups(5)), "expected process groups"),
    (profile(**groups({"pg_name": "0", "ranks": [0, 5]})), r"the ranks are \[0, 5\]"),
    (profile(**groups({"pg_name": "0", "ranks": [0, 0]})), r"the ranks are \[0, 0\]"),
    (profile(**groups({"pg_name": "0", "ranks": "all"})), "expected a list of ranks"),
    (profile(**groups({"pg_name": "0", "ranks": [1], "pg_size": 9})), "has 9 ranks"),
    (profile(send("1"), **info()), ""),
    (profile(send("2"), **info()), "is with rank 2 of a group of 2 ranks"),
    (profile(send("9" * 5000), **info()), "does not say which rank"),
    (profile(call("c10d::send"), **info()), "does not say which rank"),
]
NODE: Json = {"id": 1, "name": "aten::mm", "ctrl_deps": 0, "inputs": {}, "attrs": []}


def graph(*nodes: Any) -> str:
    """An execution trace."""
    return json.dumps({"schema": "1.1.1", "nodes": [NODE, *nodes]})


def attribute(name: str, value: Any) -> Json:
    """A node with it."""
    return NODE | {"id": 2, "attrs": [{"name": name, "value": value}]}


GRAPHS: list[tuple[str, str]] = [
    ('{"nodes": []}', "has no nodes"),
    ('{"nodes": [{}]}', "node 0: expected an object with id"),
    (graph(3), "node 1: is no object"),
    (graph(NODE), "node 1: there is an earlier one of id 1"),
    (graph(attribute("rf_id", "x")), "node 1: rf_id is 'x'"),
    (graph(attribute("rf_id", 1e400)), "node 1: rf_id is inf"),
    (graph(attribute("tid", None)), "node 1: tid is None"),
    (graph(NODE | {"id": 2, "ctrl_deps": 10**40}), "node 1: ctrl_deps is 1000"),
    (graph(NODE | {"id": 2, "ctrl_deps": 2}), ""),  # its own parent, as torch's root is
    (graph(NODE | {"id": 2, "ctrl_deps": 99}), ""),
    (graph(NODE | {"id": 2, "ts": -5, "dur": 1}), "a time is -5"),
    (graph(NODE | {"id": 2, "name": "## process_group:init ##"}), "groups are not understood"),
]


def message(data: bytes) -> bytes:
    """After its length."""
    return wire.put_varint(len(data)) + data


START = message(metadata({}))
CHAKRAS: list[tuple[bytes, str]] = [
    (b"", "is empty|has no nodes"),
    (START, "has no nodes"),
    (START + b"\x05\x08", "a message of 5 bytes is announced, but 1 are left"),
    (START + b"\xff\xff\xff\x7f", "a message of 268435455 bytes is announced; the most is"),
    (START + b"\xff" * 100, "the length of a message"),
    (START + message(b"\x08" + b"\xff" * 50), "goes on for more than 10 bytes"),
    (START + message(b"\x08" + b"\xff" * 3), "a number is cut off"),
    (START + message(b"\x12\xff\xff\x03ab"), "bytes are announced, but 2 are left"),
    (START + message(b"\x13" * 1000), "unknown wire type 3"),  # groups within groups
    (START + message(b"\x00\x00"), "a field has number 0"),
    (START + message(b"\x0a\x01a"), "field 1 is of wire type 2"),
    (START + message(b"\x12\x02\xff\xfe"), "node 0 is damaged"),
    (message(b"\x08\x01"), "the metadata that it begins with is damaged"),
    (b"\x80\x03" + b"q" * 384, "damaged"),
]


def of(suffix: str, tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes a file of this kind."""

    def to_file(data: bytes) -> Path:
        path = tmp_path / f"bad{suffix}"
        path.write_bytes(data)
        return path

    return to_file


def refused(path: Path, said: str) -> None:
    """With an error that names the file; or, where nothing is said, not refused."""
    if not said:
        assert len(read([path]).ops)
        return
    with pytest.raises(TraceError, match=rf"(?s)bad\.\w+.*(?:{said})"):
        read([path])


@pytest.mark.parametrize(("text", "said"), [*PROFILES, *GRAPHS])
def test_bad_json_is_refused_saying_where(tmp_path: Path, text: str, said: str) -> None:
    """The file, and the event, node or field in it."""
    refused(of(".json", tmp_path)(text.encode("latin-1")), said)


@pytest.mark.parametrize(("data", "said"), CHAKRAS)
def test_bad_chakra_is_refused_saying_where(tmp_path: Path, data: bytes, said: str) -> None:
    """The file, and the byte or node in it."""
    refused(of(".et", tmp_path)(data), said)


def test_a_torn_compressed_file_is_refused(tmp_path: Path) -> None:
    """Wherever it is torn."""
    whole = gzip.compress(profile().encode())
    to_file = of(".json", tmp_path)
    for length in range(2, len(whole)):
        with pytest.raises((TraceError, InputError), match=r"bad\.json"):
            read([to_file(whole[:length])])
    assert len(read([to_file(whole)]).ops) == 1


def test_a_compressed_bomb_is_given_up_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gigabyte of spaces, or of one string, in a megabyte; here the bounds are smaller."""
    monkeypatch.setattr(scan, "MOST_BYTES", 200 * 2**20)
    to_file = of(".json", tmp_path)
    for filling in (b" ", b'"' + b"a" * 2**20):
        bomb = to_file(gzip.compress(b'{"a":' + filling + b" " * 2**28, 1))
        tracemalloc.start()
        with pytest.raises(TraceError, match=r"bad\.json"):
            read([bomb])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100 * 2**20


def test_a_file_with_too_many_events_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small they are."""
    monkeypatch.setattr("traces.kineto.events.MOST_EVENTS", 1000)
    refused(of(".json", tmp_path)(profile(*[{}] * 1000).encode()), "more than 1000 events")
    monkeypatch.setattr("traces.execution_trace.nodes.MOST_NODES", 1)
    refused(of(".json", tmp_path)(graph(NODE).encode()), "more than 1 nodes")


def test_names_that_are_no_text_are_mended(tmp_path: Path) -> None:
    """JSON can hold half a character, which no file of text can; and names of megabytes."""
    half = "\ud800" + "x" * 10**6
    named = call("c10d::barrier") | {"cat": half}
    title = FIRST | {"cat": "user_annotation", "name": half}
    group = {"pg_name": "0", "pg_desc": half, "ranks": [0, 1]}
    data = profile(named, title, host_name=half, **info(backend=half, pg_config=[group]))
    trace = read([of(".json", tmp_path)(data.encode())])
    trace.save(tmp_path / "T")
    assert Trace.open(tmp_path / "T").ops["name"].str.len().max() <= 200


def test_profiles_of_runs_of_other_sizes_are_not_mixed(tmp_path: Path) -> None:
    """Both files are named."""
    for rank, world in ((0, 2), (1, 3)):
        text = profile(**info(rank=rank, world_size=world))
        (tmp_path / f"{rank}.json").write_text(text)
    with pytest.raises(TraceError, match=r"1\.json: is of a run of 3 ranks, and .*0\.json of one"):
        read([tmp_path / "0.json", tmp_path / "1.json"])


def test_a_folder_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(TraceError, match=r"missing\.json: cannot be read"):
        read([tmp_path / "missing.json"])
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        read([tmp_path])
