"""Network files: what they may say, what it means, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simnet.cli import BAD_INPUT, OK, call
from simnet.network.collectives.named import selection
from simnet.network.files import find, load
from simnet.network.graph import Graph
from simnet.network.path import Hop
from simnet.network.presets import network
from simnet.network.topology import Islands, Links, Medium
from traces.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples" / "networks").glob("*.toml"))
LINKS = '[links]\nrate = "1Gbit/s"\n'
PAIR = """
ranks = ["a", "b"]
[[link]]
name = "wire"
from = ["a", "b"]
to = "s"
rate = "1Gbit/s"
"""
ISLANDS = f"ranks_per_island = 2\n{LINKS.replace('links', 'inside')}[between]\nrate = '1kbit/s'\n"
PREDICT = ["predict", "--model", "dit-tiny", "--device", "l20", "--steps", "2", "--json"]


def written(folder: Path, text: str) -> Path:
    """A file of this text."""
    path = folder / "box.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_links_have_every_cost(tmp_path: Path) -> None:
    """In seconds and bit/s; the name is the file's."""
    keys = 'efficiency = 0.5\nlatency = "50us"\nmessage = "1ms"\nready = "2ms"\nper_flow = "1kB/s"'
    path = written(tmp_path, LINKS + keys)

    assert load(path) == Links("box", 0.5e9, 50e-6, 1e-3, 2e-3, cap_bps=8e3)


def test_a_medium_and_islands_are_read(tmp_path: Path) -> None:
    """The latter of two tables, each of which may be like a preset."""
    path = written(tmp_path, 'name = "air"\n[medium]\nrate = "1Mbit/s"\nlatency = "1ms"')
    assert load(path) == Medium("air", 1e6, 1e-3)

    text = 'ranks_per_island = 2\n[inside]\nlike = "pcie-4"\n[between]\nlike = "wan-50ms"\n'
    islands = load(written(tmp_path, text + 'rate = "2GB/s"'))
    wan, pcie = network("wan-50ms"), network("pcie-4")
    assert isinstance(islands, Islands)
    assert isinstance(wan, Links)
    assert islands.inside.path(0, 1) == pcie.path(0, 1)
    assert islands.between == Links("between", 16e9, wan.latency_s, cap_bps=wan.cap_bps)


def test_a_list_of_nodes_is_a_link_for_each(tmp_path: Path) -> None:
    """Numbered after the name, or called by their ends."""
    named = load(written(tmp_path, PAIR))
    unnamed = load(written(tmp_path, PAIR.replace('name = "wire"', "")))

    assert isinstance(named, Graph)
    assert isinstance(unnamed, Graph)
    assert [link.name for link in named.links] == ["wire-0", "wire-1"]
    assert [link.name for link in unnamed.links] == ["a-s", "b-s"]
    assert named.path(0, 1).hops == (Hop("wire-0 >", 1e9), Hop("wire-1 <", 1e9))


def test_a_graph_has_switches_routes_and_memory(tmp_path: Path) -> None:
    """All that Graph has, with the keys of the file."""
    text = """
    ranks = ["a", "b"]
    staged_through = "m"
    [[link]]
    from = ["a", "b"]
    to = "s"
    rate = "2Gbit/s"
    efficiency = 0.5
    per_flow = "1Mbit/s"
    pcie = true
    [[link]]
    name = "channels"
    from = "s"
    to = "m"
    rate = "4Gbit/s"
    message = "1us"
    duplex = "half"
    [[switch]]
    name = "s"
    rate = "3Gbit/s"
    latency = "2us"
    [[route]]
    from = "b"
    to = "a"
    links = ["b-s", "a-s"]
    """
    graph = load(written(tmp_path, text))

    by_hand = (Hop("a-s >", 1e9), Hop("s", 3e9), Hop("b-s <", 1e9))
    assert graph.path(0, 1)[:5] == (by_hand, 2e-6, 0.0, 0.0, 1e6)
    staged = load(written(tmp_path, text[: text.index("[[route]]")]))
    names = ["a-s >", "s", "channels", "channels", "s", "b-s <"]
    assert [hop.name for hop in staged.path(0, 1).hops] == names
    assert staged.path(0, 1).message_s == 2e-6


def test_collectives_conditions_and_sources_are_kept(tmp_path: Path) -> None:
    """For whoever simulates, and for whoever looks."""
    text = (
        LINKS
        + """
    [collectives]
    algorithms = "gloo,all_reduce=tree"
    efficiency = { all_gather = 0.5 }
    [[straggler]]
    rank = 1
    slowdown = 2.0
    [source]
    how = "ping-pong"
    points = [1, 2.5]
    on = 2001-02-03
    spread = { rate = 0.1 }
    """
    )
    links = load(written(tmp_path, text))

    assert links.collectives.name == "gloo,all_reduce=tree,all_gather@0.5"
    assert str(links.conditions) == "straggler 1:2"
    spread = {"rate": 0.1}
    source = {"how": "ping-pong", "points": [1, 2.5], "on": "2001-02-03", "spread": spread}
    assert links.source == source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has no network \(it is empty\); add \[links\] or"),
        ('name = "x"', r"has no network \(only name\)"),
        ("[links", "is no TOML: "),
        (LINKS + PAIR, r"has \[links\] and \[\[link\]\], which are different kinds of networks"),
        ('[links]\nlatency = "1us"', "links: the key 'rate' is missing; add it"),
        (
            "[links]\nrate = 5",
            "links: rate is 5, without a unit; write a number with its unit, as text",
        ),
        (
            "[links]\nrate = nan",
            'links: rate is nan; write a number with its unit, as text: "1Gbit',
        ),
        ('[links]\nrate = "1e-320bit/s"', "links: rate: rate '1e-320bit/s' must be 0.001bit/s or"),
        (LINKS + 'latency = "1e300s"', "links: latency: time '1e300s' must be 1e.09s or less"),
        ('[links]\nrate = "5"', "links: rate: rate '5' has no unit; write for example"),
        ('[links]\nrate = "0bit/s"', "links: rate: rate '0bit/s' must be more than zero"),
        ('[links]\nrate = "-1Gbit/s"', "links: rate: rate '-1Gbit/s' must be more than zero"),
        ('[links]\nrate = "nan"', "links: rate: rate 'nan' is not a number with a unit"),
        (LINKS + 'latency = "-1us"', "links: latency: time '-1us' must be finite and not neg"),
        (LINKS + 'latency = "1"', "links: latency: time '1' has no unit"),
        (LINKS + 'latencyy = "1us"', "links: unknown key 'latencyy': did you mean 'latency'"),
        (
            LINKS + "efficiency = 0.0",
            "links: efficiency is 0.0, expected more than 1e-06, 1 or less",
        ),
        (LINKS + f"burst_bytes = {'9' * 400}", "links: burst_bytes is inf, expected"),
        (LINKS + "efficiency = 1e-310", "links: efficiency is 1e-310, expected more than 1e-06"),
        (LINKS + "efficiency = nan", "links: efficiency is nan, expected more than 1e-06"),
        (LINKS + "efficiency = true", "links: efficiency is True, expected a number"),
        (LINKS + 'like = "pcie4"', "links: unknown network 'pcie4': did you mean 'pcie-4'"),
        (LINKS + 'like = "8x4090-pcie"', "links: network '8x4090-pcie' is more than a link for"),
        (LINKS + "[sauce]\n", "unknown key 'sauce': did you mean 'source'"),
        ("source = 3\n" + LINKS, r"source is 3, expected a table: \[source\]"),
        ("links = 3", "links: is 3, expected a table"),
        ('ranks_per_island = 0\n[inside]\nrate = "1bit/s"', "ranks_per_island is 0, expected a"),
        (LINKS + '[collectives]\nalgorithms = "ncl"', "collectives: unknown selection .* 'nccl'"),
        (LINKS + "[collectives.efficiency]\nall_gather = 2", "collectives: efficiency: all_gather"),
        (
            LINKS + "[collectives.efficiency]\ngathering = 0.5",
            "collectives: efficiency: unknown kind",
        ),
        (
            LINKS
            + '[collectives]\nalgorithms = "gloo,all_gather@0.5"\nefficiency = {all_gather = 0.5}',
            "collectives: efficiency: the efficiency of all_gather is given twice",
        ),
        (LINKS + "[[outage]]", r"outage\[0\]: the key 'hops' is missing"),
        (
            LINKS + '[[degradation]]\nhops = ["rank 70 oot"]\nfactor = 0.5',
            r"degradation\[0\]: unknown hop of network 'box': 'rank 70 oot': .* 'rank 70 out'",
        ),
        (
            LINKS + '[[background]]\nsrc = 1\ndst = 1\nrate = "1bit/s"',
            r"background\[0\]: from rank 1 to itself",
        ),
        (
            ISLANDS + '[[outage]]\nhops = "isle 4 in"\nto = "1s"',
            r"outage\[0\]: unknown hop of network 'box': 'isle 4 in': .* 'island 4 in'",
        ),
        (
            PAIR + '[[outage]]\nhops = "wire-2 >"\nto = "1s"',
            r"outage\[0\]: unknown hop of network 'box': 'wire-2 >': did you mean 'wire-",
        ),
        (PAIR + "[[straggler]]\nrank = 2\nslowdown = 2.0", r"straggler\[0\]: there is no rank 2"),
        (
            PAIR + '[[background]]\nsrc = 0\ndst = 5\nrate = "1bit/s"',
            r"background\[0\]: there is no rank 5; expected one of 0 to 1",
        ),
        (PAIR + '[[switch]]\nname = "b"\nrate = "1bit/s"', "a switch 'b' where a rank sits"),
        (
            PAIR + '[[switch]]\nname = "wire-0 >"\nrate = "1bit/s"',
            r"switch\[0\]: switch 'wire-0 >': its name ends as",
        ),
        (PAIR + '[[route]]\nfrom = "a"\nto = "a"\nlinks = []', "'a' to 'a': no message goes"),
        (PAIR.replace("[[link]]", "[link]"), r"link is one table; write \[\[link\]\]"),
        (PAIR.replace('rate = "1Gbit/s"', "rate = 1"), r"link\[0\]: rate is 1, without a unit"),
        (PAIR + 'duplex = "haft"', r"link\[0\]: unknown duplex 'haft': did you mean 'half'"),
        (PAIR + "pcie = 1", r"link\[0\]: pcie is 1, expected true or false"),
        (PAIR.replace('"s"', '["s", "t", "u"]'), r"link\[0\]: from lists 2 nodes and to 3"),
        (PAIR.replace('"s"', '"a"'), r"link\[0\]: link 'wire-0' joins 'a' to itself"),
        (PAIR.replace('["a", "b"]\n[', '["a", "c"]\n['), "rank 1 sits on 'c', to which no link"),
        (PAIR.replace('"s"', '["s", "t"]'), r"no way from rank 0 \(a\) to rank 1 \(b\)"),
        (PAIR + PAIR[PAIR.index("[[") :], "link or switch 'wire-0' is there 2 times"),
        (PAIR + '[[route]]\nfrom = "a"\nto = "b"\nlinks = ["wire-7"]', "unknown link 'wire-7'"),
        (PAIR + '[[route]]\nfrom = "a"\nto = "b"\nlink = ["wire-0"]', r"'links' is missing"),
        (
            PAIR + '[[switch]]\nname = "s"\nrate = "0bit/s"',
            r"switch\[0\]: rate: rate '0bit/s' must",
        ),
        (
            PAIR + 'pcie = true\n[[link]]\nfrom = "a"\nto = "b"\nrate = "1bit/s"\npcie = true',
            "links 'wire-0', 'wire-1', 'a-b' make a cycle",
        ),
    ],
)
def test_bad_networks_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the file, the key and the remedy."""
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as failure:
        load(path)
    assert str(failure.value).startswith(f"{path}: ")


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    """With their path."""
    missing, binary = tmp_path / "missing.toml", tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(InputError, match=r"missing\.toml: cannot be read: No such file"):
        load(missing)
    with pytest.raises(InputError, match=r"binary\.toml: is no TOML"):
        load(binary)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_can_be_shown_and_predicted_on(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As users would."""
    places = getattr(load(path), "places", 8)

    assert call(["show-network", str(path)]) == OK
    assert path.stem in capsys.readouterr().out
    assert call([*PREDICT, "--network", str(path), "--ranks", str(places)]) == OK
    assert json.loads(capsys.readouterr().out)["total_s"] > 0


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_part_of_a_machine_s_ranks_can_be_predicted_on(
    ranks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What its file says of links between the racks does no harm in one."""
    racks = ROOT / "examples" / "networks" / "racks.toml"

    assert call([*PREDICT, "--network", str(racks), "--ranks", str(ranks)]) == OK
    assert json.loads(capsys.readouterr().out)["total_s"] > 0


def test_conditions_of_ranks_beyond_those_shown_are_read(tmp_path: Path) -> None:
    """A network that has room for any number has their hops too, and those of their islands."""
    text = '[[degradation]]\nhops = ["rank 900 in", "rank 7 out"]\nfactor = 0.5\n'
    assert load(written(tmp_path, LINKS + text)).conditions
    assert load(written(tmp_path, ISLANDS + text.replace("rank 900", "island 450"))).conditions


def test_efficiencies_of_a_text_and_of_a_table_are_joined(tmp_path: Path) -> None:
    """And the name says all of them."""
    both = 'algorithms = "gloo,all_gather@0.5"\nefficiency = { all_reduce = 0.25 }'
    network = load(written(tmp_path, f"{LINKS}[collectives]\n{both}"))
    assert network.collectives == selection("gloo,all_gather@0.5,all_reduce@0.25")


def test_the_files_of_the_docs_are_read(tmp_path: Path) -> None:
    """Each block of TOML is a network."""
    text = (ROOT / "docs" / "networks.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```toml\n")[1:]]

    assert len(blocks) > 1
    for block in blocks:
        assert load(written(tmp_path, block)).path(0, 1).hops


def test_more_ranks_than_a_machine_has_places_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By predict and by replay, with how many there may be."""
    trace, path = tmp_path / "trace", written(tmp_path, PAIR)
    assert call([*PREDICT, "--network", "pcie-4", "--ranks", "4", "--out", str(trace)]) == OK
    for command in ([*PREDICT, "--ranks", "4"], ["replay", str(trace)]):
        assert call([*command, "--network", str(path)]) == BAD_INPUT
        assert "'box' has places for 2 ranks, and none for rank" in capsys.readouterr().err


def test_figures_take_a_file_and_never_leave_its_conditions_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay is under them; a sweep over rates, which could not be, refuses."""
    trace, slow = tmp_path / "trace", tmp_path / "slow.toml"
    plain = written(tmp_path, LINKS)
    slow.write_text(LINKS + "[[straggler]]\nrank = 0\nslowdown = 3.0\n")
    assert call([*PREDICT, "--network", "pcie-4", "--ranks", "2", "--out", str(trace)]) == OK

    pictures = []
    for path in (plain, slow):
        picture = path.with_suffix(".png")
        timeline = ["figure", "timeline", str(trace), "--out", str(picture)]
        assert call([*timeline, "--network", str(path)]) == OK
        pictures.append(picture.read_bytes())
    assert pictures[0] != pictures[1]

    sweep = ["figure", "bandwidth", str(trace), "--out", str(tmp_path / "b.png"), "--networks"]
    assert call([*sweep, str(slow)]) == BAD_INPUT
    assert "network 'slow' has conditions (straggler 0:3)" in capsys.readouterr().err
    assert call([*sweep, str(plain)]) == OK
    assert "box" in (tmp_path / "b.csv").read_text()


def test_a_path_is_a_file_and_a_name_is_a_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without a folder before it."""
    path = written(tmp_path, LINKS)
    monkeypatch.chdir(tmp_path)

    assert find(str(path)) == find("box.toml") == Links("box", 1e9)
    assert find("pcie-4") == network("pcie-4")
