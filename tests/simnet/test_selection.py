"""Which algorithm carries what: libraries' choices, choices by hand, and measured efficiencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path as File

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simnet.network.collectives import direct, doubling, ring, tree
from simnet.network.collectives.flow import Lowering
from simnet.network.collectives.hierarchical import HIERARCHICAL, on_hosts
from simnet.network.collectives.named import (
    SELECTIONS,
    Chosen,
    algorithm,
    selection,
    with_efficiency,
)
from simnet.network.collectives.nccl import MOST_CHUNKS, Bottleneck, chunks, neighbours
from simnet.network.collectives.overlay import pipelined
from simnet.network.collectives.selection import ALGORITHMS, GLOO, RING, Efficient, Fixed, Selection
from simnet.network.network import Exchange, Line
from simnet.network.path import Hop, Path
from simnet.network.presets import network
from simnet.network.topology import Islands, Links, Medium, Topology
from traces.errors import InputError

LINKS = Links("test", rate_bps=8e9, latency_s=10e-6)


def took(chosen: Selection, kind: str, ranks: int, nbytes: int, links: Topology = LINKS) -> float:
    """Seconds on idle links."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    exchange = Exchange(kind, members, nbytes, Line("world", members), 0, (0.0,) * ranks)
    replace(links, collectives=chosen).traffic(env).carry(exchange)
    env.run()
    return float(env.now)


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("kind", ALGORITHMS)
def test_every_selection_carries_every_kind(name: str, kind: str) -> None:
    """Also one rank alone, where a kind is no message."""
    chosen = selection(name)
    assert 0 < took(chosen, kind, 2 if kind == "send" else 5, 4096) < 1
    if kind != "send":
        assert took(chosen, kind, 1, 4096) == 0


@pytest.mark.parametrize(
    ("text", "kind", "lower"),
    [
        ("ring", "all_to_all", direct.pairwise_all_to_all),
        ("gloo", "all_gather", ring.all_gather),
        ("gloo", "all_reduce", ring.all_reduce),
        ("gloo", "broadcast", tree.eager_broadcast),
        ("gloo", "all_to_all", direct.all_to_all),
        ("gloo", "reduce_scatter", ring.all_reduce),
        ("nccl", "all_gather", ring.all_gather),
        ("nccl", "reduce_scatter", ring.reduce_scatter),
        ("nccl", "all_to_all", direct.all_to_all),
        ("nccl,all_reduce=tree,all_to_all=pairwise", "all_reduce", tree.all_reduce),
        ("nccl,all_reduce=tree,all_to_all=pairwise", "all_to_all", direct.pairwise_all_to_all),
        ("nccl,all_reduce=tree,all_to_all=pairwise", "all_gather", ring.all_gather),
        ("gloo , all_gather = doubling", "all_gather", doubling.all_gather),
        ("gloo,broadcast=chain:4", "broadcast", pipelined(ring.broadcast, 4)),
        ("ring,all_reduce=hierarchical:4", "all_reduce", on_hosts("all_reduce", 4)),
        (
            "ring,all_reduce=hierarchical:4:2",
            "all_reduce",
            pipelined(on_hosts("all_reduce", 4), 2),
        ),
    ],
)
def test_a_text_says_which_algorithm_carries_what(text: str, kind: str, lower: Lowering) -> None:
    """A library's choice, and one by hand where there is one."""
    assert selection(text).rounds(kind, range(8), 960.0, LINKS) == lower(range(8), 960.0)


@pytest.mark.parametrize(
    "text",
    [
        *SELECTIONS,
        "nccl,all_reduce=tree,all_to_all=pairwise",
        "gloo,all_gather@0.93",
        "ring,broadcast=chain:16,all_reduce=hierarchical:4:2,all_reduce@0.5,send@1.0",
    ],
)
def test_a_selections_name_makes_it_again(text: str) -> None:
    """So that it can stand in a file."""
    assert selection(text).name == text
    assert selection(selection(text).name) == selection(text)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_every_algorithm_can_be_chosen(kind: str) -> None:
    """By the name it has in the table."""
    for name, lower in ALGORITHMS[kind].items():
        assert algorithm(kind, name) is lower
    if kind in HIERARCHICAL:
        assert algorithm(kind, "hierarchical:2")(range(4), 8.0)


def test_the_docs_have_every_algorithm_and_selection() -> None:
    """By its name, in the tables of docs/collectives.md."""
    docs = (File(__file__).resolve().parents[2] / "docs" / "collectives.md").read_text()
    for kind, names in ALGORITHMS.items():
        table = docs[docs.index(f"| {kind} | ") :]
        assert all(f" | {name} | " in table for name in names)
    assert all(f"- **{name}**: " in docs for name in SELECTIONS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ncl", "unknown selection of collectives 'ncl': did you mean 'nccl'"),
        ("", "unknown selection of collectives '': there are gloo, gloo-posted, nccl, ring"),
        ("nccl,all_reduce=tre", "unknown algorithm for all_reduce: 'tre': did you mean 'tree'"),
        ("nccl,all_reduce=", "unknown algorithm for all_reduce: ''"),
        ("nccl,send=hierarchical:4", "unknown algorithm for send: 'hierarchical'"),
        ("nccl,allreduce=tree", "kind of exchange 'allreduce': did you mean 'all_reduce'"),
        ("nccl,allreduce@0.5", "kind of exchange 'allreduce': did you mean 'all_reduce'"),
        ("nccl,all_reduce", "'all_reduce' is neither a choice, such as"),
        ("nccl,", "'' is neither a choice"),
        ("nccl,all_reduce=tree,all_reduce=ring", "all_reduce= is there twice"),
        ("nccl,send@0.5,send@0.5", "send@ is there twice"),
        ("nccl,all_reduce=hierarchical", "how many ranks has a host"),
        ("nccl,all_reduce=hierarchical:0", "'0' is no number of chunks or ranks"),
        ("nccl,all_reduce=hierarchical:2:2:2", "too many numbers"),
        ("nccl,broadcast=chain:x", "broadcast=chain:x: 'x' is no number of chunks"),
        ("nccl,broadcast=chain:1e3", "'1e3' is no number of chunks"),
        ("nccl,broadcast=chain:4:4", "too many numbers"),
        ("nccl,all_gather@fast", "all_gather@fast: 'fast' is no number"),
        ("nccl,all_gather@0", "efficiency of all_gather is 0.0, expected above 0"),
        ("nccl,all_gather@1.5", "efficiency of all_gather is 1.5, expected above 0 and at most 1"),
        ("nccl,all_gather@nan", "efficiency of all_gather is nan"),
    ],
)
def test_what_cannot_be_selected_is_answered_with_what_can(text: str, said: str) -> None:
    """The nearest name, or what was expected."""
    with pytest.raises(InputError) as failure:
        selection(text)
    assert said in str(failure.value)


def test_hosts_that_do_not_come_out_even_are_refused_when_it_comes_to_it() -> None:
    """With the text at fault."""
    chosen = selection("nccl,all_reduce=hierarchical:4")
    with pytest.raises(InputError, match="hierarchical:4: 6 ranks do not divide into whole hosts"):
        chosen.rounds("all_reduce", range(6), 8.0, LINKS)


@given(st.floats(0.01, 1), st.sampled_from(list(RING.lowerings)))
def test_an_efficiency_stretches_the_bytes_of_its_kind_alone(value: float, kind: str) -> None:
    """Latency stays as it is."""
    slow = Efficient(RING, {kind: value})
    for other in RING.lowerings:
        ranks = range(2 if other == "send" else 4)
        sizes = [
            [flow.nbytes for flow in chain(*one.rounds(other, ranks, 960.0, LINKS))]
            for one in (RING, slow)
        ]
        assert sizes[1] == pytest.approx([s / (value if other == kind else 1) for s in sizes[0]])


def test_choices_and_efficiencies_can_be_put_around_any_selection() -> None:
    """Whichever is outside."""
    inside = Efficient(GLOO, {"all_gather": 0.5})
    outside = Chosen(inside, (("all_reduce", "tree"),))
    assert outside.name == "gloo,all_gather@0.5,all_reduce=tree"
    assert outside.rounds("all_gather", range(3), 6.0, LINKS) == ring.all_gather(range(3), 12.0)
    assert outside.rounds("all_reduce", range(3), 6.0, LINKS) == tree.all_reduce(range(3), 6.0)


@pytest.mark.parametrize("ranks", [2, 3, 8, 24])
@pytest.mark.parametrize("nbytes", [1, 10**4, 10**6, 10**8])
def test_nccl_takes_the_faster_of_ring_and_trees(ranks: int, nbytes: int) -> None:
    """On links of their own its estimate is never worse than the other by more than a bit."""
    chosen_s = took(SELECTIONS["nccl"], "all_reduce", ranks, nbytes)
    count = chunks(2 * tree.height(ranks), 2 * nbytes, neighbours(range(ranks), LINKS))
    trees = Fixed("trees", {"all_reduce": pipelined(tree.double_all_reduce, count)})
    both_s = [took(one, "all_reduce", ranks, nbytes) for one in (RING, trees)]
    assert chosen_s in both_s
    assert chosen_s <= 1.3 * min(both_s)  # the trees' estimate is a bound, not their time


def test_nccl_takes_trees_for_latency_and_a_ring_for_bandwidth() -> None:
    """Few bytes among many ranks, and many bytes among few."""
    nccl = SELECTIONS["nccl"]
    few = nccl.rounds("all_reduce", range(64), 1024, LINKS)
    assert few == pipelined(tree.double_all_reduce, len(few) - 2 * 6 + 1)(range(64), 1024)
    assert nccl.rounds("all_reduce", range(4), 1e9, LINKS) == ring.all_reduce(range(4), 1e9)


@given(st.integers(2, 64), st.floats(1, 1e9), st.floats(1e-7, 1e-3), st.floats(1e8, 1e12))
def test_no_other_number_of_chunks_is_better(
    steps: int, nbytes: float, message_s: float, rate_bps: float
) -> None:
    """By the closed form of a pipeline; but for the limit."""
    worst = Bottleneck(message_s, rate_bps)

    def time_s(count: int) -> float:
        rounds = steps + count - 1
        return worst.seconds(rounds, rounds * nbytes / count)

    best = chunks(steps, nbytes, worst)
    assert 1 <= best <= MOST_CHUNKS
    for other in (best - 1, best + 1):
        if 1 <= other <= MOST_CHUNKS:
            # Rounding the best real number is not always the best whole number, but nearly.
            assert time_s(best) <= time_s(other) * 1.02


@pytest.mark.parametrize("nbytes", [1, 10**6, 10**8])
def test_nccl_s_broadcast_is_a_chain_in_the_best_number_of_chunks(nbytes: int) -> None:
    """The time of which is known: (n + c - 2)(a + s/(cB))."""
    count = chunks(7, nbytes, neighbours(range(8), LINKS))
    expected_s = (8 + count - 2) * (LINKS.latency_s + 8 * nbytes / count / LINKS.rate_bps)
    assert took(SELECTIONS["nccl"], "broadcast", 8, nbytes) == pytest.approx(expected_s)


def test_the_worst_path_between_neighbours_counts() -> None:
    """All that a message costs beside its bytes, and the narrowest of links and caps."""
    inside = Links("inside", 100.0, latency_s=1.0, message_s=0.5, ready_s=0.25)
    hosts = Islands("hosts", 2, inside, Links("between", 10.0, latency_s=2.0))
    assert neighbours([0, 1], hosts) == (1.75, 100.0)
    assert neighbours(range(4), hosts) == (3.75, 10.0)
    assert neighbours(range(4), Medium("radio", 5.0)) == (0.0, 5.0)
    assert neighbours([0, 1], Links("infinite", math.inf)) == (0.0, math.inf)


def test_a_link_that_is_crossed_twice_counts_twice() -> None:
    """Also for the estimate: what goes through host memory has half of its rate."""
    twice = Path((Hop("slot >", 8.0), Hop("memory", 10.0), Hop("memory", 10.0)), cap_bps=7.0)
    assert twice.alone_bps == 5.0
    staged = network("pcie-4-staged")
    assert neighbours([0, 1], staged).rate_bps == staged.path(0, 1).alone_bps


def test_efficiencies_join_those_that_a_selection_has() -> None:
    """In one list, which its name says; of one kind there is one."""
    half = selection("gloo,all_reduce=tree,all_gather@0.5")
    both = with_efficiency(half, {"all_reduce": 0.25})
    assert both == selection("gloo,all_reduce=tree,all_gather@0.5,all_reduce@0.25")
    assert with_efficiency(half, {}) is half
    with pytest.raises(
        InputError, match=r"all_gather is given twice, as all_gather@0\.5 and as 0\.9"
    ):
        with_efficiency(half, {"all_gather": 0.9})


class Upwards:
    """Fast to the next rank and slow to the one before, of three."""

    def path(self, src: int, dst: int) -> Path:
        """One link."""
        return Path((Hop(f"{src} to {dst}", 8.0 if (dst - src) % 3 == 1 else 1.0),))


def test_neighbours_are_the_ones_that_a_ring_sends_to() -> None:
    """Each rank the next, in the order in which they stand."""
    assert neighbours([0, 1, 2], Upwards()).rate_bps == 8.0
    assert neighbours([2, 1, 0], Upwards()).rate_bps == 1.0


@pytest.mark.parametrize("name", ["infinite", "shared-bucket-16g", "hosts-of-4-ethernet-10g"])
def test_nccl_chooses_on_any_network(name: str) -> None:
    """No latency, no limit to the rate, or links that ranks share."""
    for kind in ("all_reduce", "broadcast"):
        took_s = took(SELECTIONS["nccl"], kind, 8, 4096, network(name))
        assert took_s == 0 if name == "infinite" else 0 < took_s < 1


@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "reduce_scatter", "broadcast"])
def test_between_hosts_it_pays_to_be_hierarchical(kind: str) -> None:
    """On hosts of four behind 10 GbE: less crosses, or fewer times."""
    hosts = network("hosts-of-4-ethernet-10g")
    flat, steep = (
        took(selection(text), kind, 16, 2**20, hosts)
        for text in ("ring", f"ring,{kind}=hierarchical:4")
    )
    assert steep < flat


def ranks_of(rounds: Sequence[Sequence[tuple[int, int, float]]]) -> set[int]:
    """All that send."""
    return {src for src, _, _ in chain(*rounds)}


def test_a_group_of_some_ranks_of_each_host_is_hierarchical_too() -> None:
    """Ranks are on the hosts that their numbers say."""
    rounds = selection("nccl,all_gather=hierarchical:4").rounds(
        "all_gather", (1, 3, 5, 7), 8.0, LINKS
    )
    assert rounds[0] == [(1, 5, 8.0), (5, 1, 8.0), (3, 7, 8.0), (7, 3, 8.0)]
    assert ranks_of(rounds[1:]) == {1, 3, 5, 7}
