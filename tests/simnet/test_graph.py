"""Graphs: which way messages take, what they share on it, and which graphs are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simnet.costs import Free
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.graph import ByHand, Graph
from simnet.network.link import Link, Switch
from simnet.network.machines import as_graph, hosts, like, nvswitch_machine, pcie_machine
from simnet.network.network import Exchange, Line, Network
from simnet.network.path import Hop
from simnet.network.topology import Islands, Links, Medium, Topology
from simnet.schedules.ring import RingAttention
from traces.errors import InputError

KINDS = ("all_gather", "all_reduce", "all_to_all")


def took(network: Network, kind: str, ranks: int, nbytes: int) -> float:
    """How long one exchange takes on idle links until its last member is done."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    since_s = (0.0,) * ranks
    network.traffic(env).carry(Exchange(kind, members, nbytes, Line("world", members), 0, since_s))
    env.run()
    return float(env.now)


def messages_s(network: Network, *messages: tuple[int, int, int]) -> list[float]:
    """When messages (source, destination, bytes) that start together are there."""
    env = simpy.Environment()
    traffic = network.traffic(env)
    ends: dict[int, float] = {}

    def watch(number: int, event: simpy.Event) -> Any:
        yield event
        ends[number] = env.now

    for number, (src, dst, nbytes) in enumerate(messages):
        exchange = Exchange("send", (src, dst), nbytes, Line("", (src, dst)), 0, (0.0, 0.0))
        env.process(watch(number, traffic.carry(exchange)[1]))
    env.run()
    return [ends[number] for number in range(len(messages))]


def graph(*links: Link, ranks: str = "a b", **more: Any) -> Graph:
    """A graph of these links."""
    return Graph("test", tuple(ranks.split()), links, **more)


def link(ends: str, rate_bps: float = 8.0, **more: Any) -> Link:
    """From "a-b": a link of that name."""
    start, end = ends.split("-")
    return Link(ends, (start, end), rate_bps, **more)


def star(ranks: int = 4, **more: Any) -> Graph:
    """Ranks on a switch that blocks nothing."""
    links = [link(f"r{rank}-s", **more) for rank in range(ranks)]
    return graph(*links, ranks=" ".join(f"r{rank}" for rank in range(ranks)))


def names(network: Graph, src: int, dst: int) -> list[str]:
    """Of the links on the way."""
    return [link.name for link in network.route(src, dst)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "network",
    [
        Links("links", 64.0, 0.25, 0.5, 0.125),
        Medium("medium", 64.0, 0.25, 0.5, cap_bps=24.0),
        Islands("islands", 2, Links("in", 64.0, 0.25, 0.5), Links("out", 32.0, 1.0, 0.25)),
    ],
    ids=lambda network: network.name,
)
def test_as_a_graph_every_other_kind_of_network_takes_the_same_time(
    network: Topology, kind: str
) -> None:
    """What is drawn is what is simulated: same links, same shares, same costs."""
    for ranks in (2, 3, 6):
        expected = took(network, kind, ranks, 96)
        assert took(as_graph(network, ranks), kind, ranks, 96) == pytest.approx(expected)


def test_a_route_has_the_fewest_links() -> None:
    """However narrow they are."""
    network = graph(link("a-s", 1e9), link("s-b", 1e9), link("a-b", 1.0))

    assert names(network, 0, 1) == ["a-b"]


def test_of_routes_as_long_the_widest_is_taken_then_the_first_by_name() -> None:
    """And its way back is the same, also where another one would come first from there."""
    wide = graph(link("a-x"), link("x-b", 4.0), link("a-y"), link("y-b", 5.0))
    alike = graph(link("a-x"), link("z-b"), link("a-y"), link("y-b"), link("x-b"), link("a-z"))

    assert names(wide, 0, 1) == ["a-y", "y-b"]
    assert names(alike, 0, 1) == ["a-x", "x-b"]
    assert names(alike, 1, 0) == ["x-b", "a-x"]


def test_a_wider_beginning_does_not_win_where_the_end_is_narrow() -> None:
    """Both ways are as wide on the whole, and the first by name has the narrower beginning."""
    network = graph(link("a-x", 4.0), link("x-t"), link("a-y"), link("y-t"), link("t-b", 2.0))

    assert names(network, 0, 1) == ["a-x", "x-t", "t-b"]


def test_a_switch_s_own_capacity_counts_as_width() -> None:
    """Two ways that differ in nothing else."""
    links = (link("a-x"), link("x-b"), link("a-y"), link("y-b"))

    network = graph(*links, switches=(Switch("x", 2.0),))
    assert names(network, 0, 1) == ["a-y", "y-b"]


def test_ranks_do_not_pass_on_what_is_for_others() -> None:
    """A chain of ranks does not do; a longer way around the one in the middle does."""
    chain = link("a-b"), link("b-c")
    around = link("a-s"), link("s-t"), link("t-c")

    with pytest.raises(InputError, match=r"no way from rank 0 \(a\) to rank 2 \(c\)"):
        graph(*chain, ranks="a b c")
    assert names(graph(*chain, *around, ranks="a b c"), 0, 2) == ["a-s", "s-t", "t-c"]


def test_a_route_by_hand_goes_where_it_says_and_back() -> None:
    """Also through a rank, and also where there would be a shorter way."""
    by_hand = ByHand("c", "a", ("b-c", "a-b"))
    network = graph(
        link("a-b"), link("b-c"), link("a-s"), link("s-c"), ranks="a b c", routes=(by_hand,)
    )

    assert names(network, 2, 0) == ["b-c", "a-b"]
    assert names(network, 0, 2) == ["a-b", "b-c"]
    assert names(network, 0, 1) == ["a-b"]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to 4 ranks and 5 other nodes, all of them joined, with more links between them."""
    ranks = [f"r{n}" for n in range(draw(st.integers(2, 4)))]
    inner = [f"s{n}" for n in range(draw(st.integers(1, 5)))]
    ends = [(draw(st.sampled_from(inner[:n])), node) for n, node in enumerate(inner) if n]
    ends += [(rank, draw(st.sampled_from(inner))) for rank in ranks]
    pairs = st.tuples(st.sampled_from(ranks + inner), st.sampled_from(inner))
    ends += [pair for pair in draw(st.lists(pairs, max_size=8)) if pair[0] != pair[1]]
    rates = st.integers(1, 3).map(float)
    links = (Link(f"l{n}", pair, draw(rates)) for n, pair in enumerate(ends))
    joined = [node for node in inner if any(node in pair for pair in ends)]
    switches = (Switch(node, draw(rates)) for node in joined if draw(st.booleans()))
    return Graph("random", tuple(ranks), tuple(links), switches=tuple(switches))


def all_ways(network: Graph, node: str, end: str, seen: tuple[str, ...] = ()) -> Any:
    """Every way that visits no node twice and passes through no other rank, by brute force."""
    if node == end:
        yield ()
        return
    if seen and node in network.ranks:
        return
    for link in network.links:
        if node in link.ends and link.other(node) not in (*seen, node):
            for rest in all_ways(network, link.other(node), end, (*seen, node)):
                yield (link, *rest)


@given(graphs())
def test_a_route_is_the_first_by_name_of_the_widest_of_the_shortest(network: Graph) -> None:
    """Against all ways there are; and its way back is the same."""

    def merit(way: tuple[Link, ...], start: str) -> tuple[object, ...]:
        passed, node = [], start
        for link in way[:-1]:
            node = link.other(node)
            passed.append(node)
        rates = [switch.rate_bps for switch in network.switches if switch.name in passed]
        rates += [link.payload_bps for link in way]
        return len(way), -min(rates), [link.name for link in way]

    for src in range(network.places):
        for dst in range(src + 1, network.places):
            start = network.node(src)
            ways = all_ways(network, start, network.node(dst))
            route = network.route(src, dst)
            assert route == min(ways, key=lambda way: merit(way, start))
            assert network.route(dst, src) == route[::-1]
            node = network.node(src)
            for one, following in pairwise(route):
                node = one.other(node)
                assert node in following.ends


def test_costs_on_the_way_add_up_and_the_slowest_cap_holds() -> None:
    """Latency also at the switch; nothing of a switch at the end of the way."""
    links = (
        link("a-s", latency_s=1.0, message_s=2.0, ready_s=4.0, flow_bps=5.0),
        link("s-b", latency_s=8.0, message_s=16.0, ready_s=32.0, flow_bps=3.0),
    )
    path = graph(*links, switches=(Switch("s", 6.0, 64.0),)).path(0, 1)

    hops = (Hop("a-s >", 8.0), Hop("s", 6.0), Hop("s-b >", 8.0))
    assert path[:5] == (hops, 73.0, 18.0, 36.0, 3.0)


def test_a_full_duplex_link_carries_both_directions_and_a_half_duplex_one_shares() -> None:
    """Two messages of a second each, against each other."""
    both_ways = (0, 1, 1), (1, 0, 1)

    assert messages_s(graph(link("a-b")), *both_ways) == [1.0, 1.0]
    assert messages_s(graph(link("a-b", half_duplex=True)), *both_ways) == [2.0, 2.0]


def test_efficiency_is_the_part_of_the_rate_that_is_payload() -> None:
    """Half of it takes twice as long."""
    assert messages_s(graph(link("a-b", efficiency=0.5)), (0, 1, 1)) == [2.0]


def test_messages_through_an_oversubscribed_switch_share_it() -> None:
    """Between pairs that share no link."""
    network = star(4)
    tight = replace(network, switches=(Switch("s", 8.0),))

    assert messages_s(network, (0, 1, 1), (2, 3, 1)) == [1.0, 1.0]
    assert messages_s(tight, (0, 1, 1), (2, 3, 1)) == [2.0, 2.0]


def staged(memory_bps: float = 8.0, **more: Any) -> Graph:
    """Two GPUs a socket, two sockets, host memory at each."""
    slots = [link(f"g{gpu}-r{gpu // 2}", pcie=True) for gpu in range(4)]
    memories = [link(f"r{n}-m{n}", memory_bps, half_duplex=True, message_s=0.5) for n in (0, 1)]
    more = {"staged_through": ("m0", "m1")} | more
    return graph(*slots, *memories, link("r0-r1"), ranks="g0 g1 g2 g3", **more)


def test_without_peer_to_peer_a_message_crosses_the_memory_nearest_to_its_sender_twice() -> None:
    """Once in and once out; and it pays for both."""
    network = staged()

    assert names(network, 0, 1) == ["g0-r0", "r0-m0", "r0-m0", "g1-r0"]
    assert names(network, 0, 2) == ["g0-r0", "r0-m0", "r0-m0", "r0-r1", "g2-r1"]
    assert names(network, 2, 0) == ["g2-r1", "r1-m1", "r1-m1", "r0-r1", "g0-r0"]
    assert network.path(0, 1).message_s == 1.0
    assert messages_s(network, (0, 1, 1)) == [1.0 + 2.0]


def test_what_crosses_no_pcie_link_is_not_staged() -> None:
    """GPUs with a bridge use it."""
    network = staged()
    bridged = replace(network, links=(*network.links, link("g0-g1")))

    assert names(bridged, 0, 1) == ["g0-g1"]
    assert names(bridged, 0, 2)[1] == "r0-m0"


def test_pcie_links_that_make_a_cycle_are_refused_by_name() -> None:
    """Root, two switches, and a link between these; other links may close it."""
    tree = link("a-x", pcie=True), link("b-y", pcie=True), link("r-x", pcie=True)
    rest = link("r-y", pcie=True)

    with pytest.raises(InputError, match="links 'r-x', 'r-y', 'x-y' make a cycle"):
        graph(*tree, rest, link("x-y", pcie=True))
    graph(*tree, rest, link("x-y"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranks": ()}, "there are no ranks"),
        ({"ranks": ("r0", "r0")}, "rank 'r0' is there 2 times; give each rank a node of its own"),
        ({"ranks": ("r0", "x")}, "rank 1 sits on 'x', to which no link leads"),
        ({"links": (link("r0-s"), link("r0-s"))}, "link or switch 'r0-s' is there 2 times"),
        ({"switches": (Switch("r0-s", 1.0),)}, "link or switch 'r0-s' is there 2 times"),
        (
            {"switches": (Switch("r1", 1.0),)},
            "there is a switch 'r1' where a rank sits, .* its own",
        ),
        ({"routes": (ByHand("r0", "r0", ()),)}, "'r0' to 'r0': no message goes from a rank to its"),
        ({"switches": (Switch("t", 1.0),)}, "there is a switch 't', to which no link leads"),
        ({"links": (link("r0-s"), link("r1-t"))}, "no way from rank 0 .r0. to rank 1 .r1."),
        ({"staged_through": ("m",)}, "staged_through names 'm', to which no link leads"),
        ({"staged_through": ("r1",)}, "staged_through names 'r1', where a rank sits"),
        ({"routes": (ByHand("r0", "s", ()),)}, "no rank sits on 's'"),
        ({"routes": (ByHand("r0", "r1", ("r0-t",)),)}, "unknown link 'r0-t': did you mean 'r0-s'"),
        (
            {"routes": (ByHand("r0", "r1", ("r1-s", "r0-s")),)},
            "link 'r1-s' joins 'r1' and 's', and the route is at 'r0' there",
        ),
        ({"routes": (ByHand("r0", "r1", ("r0-s",)),)}, "ends at 's'; add the links"),
        (
            {"routes": (ByHand("r0", "r1", ("r0-s", "r1-s")),) * 2},
            "route from 'r0' to 'r1' is there twice",
        ),
    ],
)
def test_graphs_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    """With the network's name, what is wrong and what to do."""
    with pytest.raises(InputError, match=f"network 'test': .*{message}"):
        replace(star(2), **change)


def test_memory_that_not_all_can_reach_is_refused() -> None:
    """Else a message would find out on its way."""
    links = (link("a-r", pcie=True), link("b-r", pcie=True), link("m-n"))

    with pytest.raises(InputError, match=r"no memory of staged_through \(m\) joins 'a' and 'b'"):
        graph(*links, staged_through=("m",))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"rate_bps": 0.0}, "rate_bps is 0.0, expected > 0"),
        ({"rate_bps": math.nan}, "rate_bps is nan"),
        ({"flow_bps": -1.0}, "flow_bps is -1.0"),
        ({"latency_s": -1.0}, "latency_s is -1.0, expected 0 or more"),
        ({"message_s": math.inf}, "message_s is inf"),
        ({"efficiency": 0.0}, "efficiency is 0.0, expected more than 0, 1 or less"),
        ({"efficiency": 1.5}, "efficiency is 1.5"),
        ({"ends": ("a", "a")}, "joins 'a' to itself"),
        ({"name": "x >"}, "its name ends as those of links' sides do"),
    ],
)
def test_links_that_cannot_be_are_refused(numbers: dict[str, Any], message: str) -> None:
    """With the link's name and the field at fault."""
    with pytest.raises(InputError, match=f"link '.*{message}"):
        replace(link("a-b"), **numbers)


def test_a_switch_cannot_have_the_name_of_a_link_s_side() -> None:
    """Else one would be taken for the other."""
    with pytest.raises(InputError, match="switch 'l-0 >': its name ends as those of links' sides"):
        Switch("l-0 >", 1.0)


def test_a_graph_knows_all_its_hops() -> None:
    """Of half-duplex links and switches one, and of what no message crosses too."""
    network = graph(link("a-s"), link("s-b", half_duplex=True), link("s-t", 4.0))
    network = replace(network, switches=(Switch("s", 6.0),))

    rates = {"a-s >": 8.0, "a-s <": 8.0, "s-b": 8.0, "s-t >": 4.0, "s-t <": 4.0, "s": 6.0}
    assert network.hops == {name: Hop(name, rate) for name, rate in rates.items()}


def test_more_ranks_than_places_are_refused() -> None:
    """By whoever simulates a job; with how many there may be."""
    job = Job("dit-tiny", ranks=4, steps=1)

    assert simulate(RingAttention(), job, Free(), star(4)).run.network == "test"
    with pytest.raises(
        InputError, match="has places for 3 ranks, and none for rank 3; use 3 ranks"
    ):
        simulate(RingAttention(), job, Free(), star(3))


def test_a_thousand_ranks_have_routes() -> None:
    """Two levels of switches; the last one can reach the first."""
    machine = nvswitch_machine("host", 8, like(8.0, 0.25), {})
    network = hosts("cluster", 128, machine, like(4.0, 0.5), {})

    path = network.path(1023, 0)
    assert [hop.rate_bps for hop in path.hops] == [8.0, 4.0, 4.0, 8.0]
    assert path.latency_s == 1.5


def test_gpus_are_spread_over_two_sockets() -> None:
    """The first half on one; what goes across is limited there."""
    machine = pcie_machine("box", 4, like(8.0, pcie=True), across=like(4.0), source={})

    assert names(machine, 0, 1) == ["slot0", "slot1"]
    assert names(machine, 1, 2) == ["slot1", "across", "slot2"]
    assert messages_s(machine, (0, 2, 1), (1, 3, 1)) == [4.0, 4.0]
