"""Whatever becomes of a real file, reading it ends in a trace, or in an error for the user."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traces.chakra.messages import File, Node, metadata, put
from traces.chakra.writing import ROW, write
from traces.errors import InputError
from traces.imports.formats import read

pytestmark = pytest.mark.slow
#: What may stand where something else did.
SPLINTERS = [
    *(b"null", b"-1", b"1e999", b"NaN", b"9" * 400, b'"x"', b"[]", b"{}", b"[[[[[[", b"}", b"]"),
    *(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x00", b"\x80" * 12, b"\x7f", b","),
]
MUTATIONS = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def samples(profiled: Path) -> dict[str, bytes]:
    """Real files of each format, the JSON ones cut to their first step to be quick."""
    profile = json.loads((profiled / "kineto-0.json").read_text())
    begins = [e["ts"] for e in profile["traceEvents"] if e["name"] == "ProfilerStep#2"]
    profile["traceEvents"] = [e for e in profile["traceEvents"] if e["ts"] < begins[0]]
    graph = json.loads((profiled / "et-0.json").read_text())
    graph["nodes"] = graph["nodes"][:250]
    both = read([profiled / f"kineto-{rank}.json" for rank in (0, 1)])
    chakra, peer, *_ = write(both, profiled / "small.et")
    (profiled / "peer.et").write_bytes(foreign(peer))
    return {
        "k.json": json.dumps(profile).encode(),
        "e.json": json.dumps(graph).encode(),
        "c.et": chakra.read_bytes(),
        "f.et": foreign(chakra),
    }


def foreign(chakra: Path) -> bytes:
    """The same nodes, as another program would have written them."""
    nodes = list(File(chakra).nodes())
    for node in nodes:
        node.attrs.pop(ROW, None)
    return encoded(nodes)


def encoded(nodes: Iterable[Node]) -> bytes:
    """A file of them."""
    file = io.BytesIO()
    put(file, metadata({}))
    for node in nodes:
        put(file, node.encoded())
    return file.getvalue()


def flip(data: bytearray, rng: random.Random) -> None:
    """Other bits in some bytes."""
    for _ in range(rng.choice((1, 3, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def splinter(data: bytearray, rng: random.Random) -> None:
    """Something else in some places."""
    for _ in range(rng.choice((1, 5))):
        at = rng.randrange(len(data))
        data[at : at + rng.choice((0, 1, 8))] = rng.choice(SPLINTERS)


def swap(data: bytearray, rng: random.Random) -> None:
    """A piece where another was: ids come twice, times go back."""
    a, b, length = rng.randrange(len(data)), rng.randrange(len(data)), rng.randrange(2000)
    data[a : a + length] = data[b : b + length]


def numbers(data: bytearray, rng: random.Random) -> None:
    """Other digits: times, sizes, ranks and ids that still are numbers."""
    places = [i for i in range(len(data)) if 48 <= data[i] < 58]
    for _ in range(rng.choice((1, 20, 200))):
        data[rng.choice(places)] = 48 + rng.randrange(10)


def cut(data: bytearray, rng: random.Random) -> None:
    """Torn off."""
    del data[rng.randrange(len(data)) :]


def leaf(value: Any, rng: random.Random) -> Any:
    """The same, with something else at one place in it."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        copy: Any = value.copy()
        key = rng.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        copy[key] = leaf(copy[key], rng)
        return copy
    return rng.choice(
        (None, -1, 0, 1, 2, 3, 1e18, 2**70, "", "1", "c10d::send", [], [[]], {}, True)
    )


def other_values(data: bytes, rng: random.Random) -> bytes:
    """JSON as before, with other values in a few events or nodes, and in the header."""
    found = json.loads(data)
    for _ in range(rng.choice((1, 4, 40))):
        name = "traceEvents" if "traceEvents" in found else "nodes"
        if rng.random() < 0.2:
            key = rng.choice([key for key in found if key != name])
            found[key] = leaf(found[key], rng)
        else:
            i = rng.randrange(len(found[name]))
            found[name][i] = leaf(found[name][i], rng)
    return json.dumps(found).encode()


def other_nodes(path: Path, rng: random.Random) -> bytes:
    """Chakra as before, with other values in a few nodes."""
    nodes = list(File(path).nodes())
    for _ in range(rng.choice((1, 4, 40))):
        node = rng.choice(nodes)
        number = rng.choice((0, 1, 2, 4, 5, 6, 7, 2**31, 2**63))
        what = rng.choice(("id", "type", "start_us", "duration_us", "deps", "attrs"))
        if what == "deps":
            node.deps = (*node.deps, rng.choice(nodes).id)
        elif what == "attrs":
            node.attrs[rng.choice((*node.attrs, "pg_name"))] = rng.choice((number, str(number)))
        else:
            setattr(node, what, number)
    return encoded(nodes)


def check(*files: Path) -> None:
    """Nothing but InputError is raised, and what is read is a trace."""
    said = ""
    try:
        trace = read(files)
        for _ in trace.scan():
            pass  # the rows are checked
    except InputError as error:
        said = str(error)
    assert not said or any(path.name in said for path in files)


@pytest.mark.parametrize("name", ["k.json", "e.json", "f.et"])
@given(seed=st.integers(0, 2**32))
@MUTATIONS
def test_a_file_with_other_values_is_read_or_refused(
    samples: dict[str, bytes], profiled: Path, tmp_path: Path, *, name: str, seed: int
) -> None:
    """Well-formed, but with nonsense in some places."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    path = tmp_path / name
    path.write_bytes(samples[name])
    change = other_nodes(path, rng) if name == "f.et" else other_values(samples[name], rng)
    path.write_bytes(change)
    check(path, *([profiled / "peer.et"] if name == "f.et" else []))


@pytest.mark.parametrize("name", ["k.json", "e.json", "c.et", "f.et"])
@given(
    seed=st.integers(0, 2**32),
    damage=st.lists(st.sampled_from((flip, splinter, swap, numbers, cut)), min_size=1, max_size=2),
)
@MUTATIONS
def test_a_damaged_file_is_read_or_refused(
    samples: dict[str, bytes],
    tmp_path: Path,
    *,
    name: str,
    seed: int,
    damage: list[Callable[[bytearray, random.Random], None]],
) -> None:
    """Bits, pieces or the end of it are not what they were."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    data = bytearray(samples[name])
    for harm in damage:
        if data:
            harm(data, rng)
    path = tmp_path / name
    path.write_bytes(data)
    check(path)
