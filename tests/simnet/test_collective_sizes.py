"""All-to-alls of sizes that differ from rank to rank."""

from __future__ import annotations

from itertools import chain

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network.collectives import direct
from simnet.network.collectives.flow import Flow, Lowering
from simnet.network.collectives.named import SELECTIONS, selection, uneven_algorithm
from simnet.network.collectives.selection import ALGORITHMS, Fixed
from simnet.network.network import Exchange, Line
from simnet.network.topology import Links
from traces.errors import InputError

LATENCY_S, BYTES_PER_S = 0.25, 64.0


def took(lower: Lowering, ranks: int, nbytes: float) -> float:
    """Seconds on idle links until the last rank is done."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    selection = Fixed("one", {"x": lambda of, _: lower(of, nbytes)})
    links = Links("test", 8 * BYTES_PER_S, LATENCY_S, collectives=selection)
    exchange = Exchange("x", members, 0, Line("world", members), 0, (0.0,) * ranks)
    links.traffic(env).carry(exchange)
    env.run()
    return float(env.now)


@st.composite
def matrices(draw: st.DrawFn) -> list[list[int]]:
    """Bytes from each rank to each."""
    n = draw(st.integers(1, 6))
    row = st.lists(st.integers(0, 1000), min_size=n, max_size=n)
    return draw(st.lists(row, min_size=n, max_size=n))


@given(matrices())
@settings(max_examples=30)
def test_an_all_to_all_of_sizes_moves_just_these_and_no_slower_than_its_bound(
    sizes: list[list[int]],
) -> None:
    """At once: as fast as the busiest link. In pairs: at most the largest message of each round."""
    n = len(sizes)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j and sizes[i][j]]
    for of in (direct.all_to_all_of, direct.pairwise_all_to_all_of):
        flows = [*chain(*of(range(n), sizes))]
        assert sorted(flows) == sorted(Flow(i, j, sizes[i][j]) for i, j in pairs)
    rounds = direct.pairwise_all_to_all_of(range(n), sizes)
    pairs_s = took(lambda ranks, _: direct.pairwise_all_to_all_of(ranks, sizes), n, 0)
    most_s = sum(LATENCY_S + max(flow.nbytes for flow in flows) / BYTES_PER_S for flows in rounds)
    assert pairs_s <= most_s * (1 + 1e-12)
    direct_s = took(lambda ranks, _: direct.all_to_all_of(ranks, sizes), n, 0)
    sent = [sum(nbytes for j, nbytes in enumerate(row) if i != j) for i, row in enumerate(sizes)]
    received = [sum(sizes[i][j] for i in range(n) if i != j) for j in range(n)]
    busiest = max(*sent, *received)
    assert direct_s >= (busiest / BYTES_PER_S + LATENCY_S * bool(pairs)) * (1 - 1e-12)


def test_equal_sizes_are_the_uniform_all_to_all() -> None:
    """Both ways, and in the same time."""
    sizes = [[6.0] * 4] * 4
    assert direct.pairwise_all_to_all_of(range(4), sizes) == direct.pairwise_all_to_all(
        range(4), 24.0
    )
    (one,) = direct.all_to_all_of(range(4), sizes)
    assert sorted(one) == sorted(*direct.all_to_all(range(4), 24.0))


TEXTS = [
    *SELECTIONS,
    *(f"ring,all_to_all={name}" for name in ALGORITHMS["all_to_all"]),
    *("ring,all_to_all=direct:4", "nccl,all_to_all=pairwise:3", "gloo,all_to_all=ring:2"),
    *("ring,all_to_all=hierarchical:2", "gloo,all_to_all=hierarchical:4:2"),
    *("nccl,all_to_all@0.5", "gloo,all_to_all=ring,all_to_all@0.8"),
]


@pytest.mark.parametrize("ranks", [1, 4, 8])
@pytest.mark.parametrize("text", TEXTS)
def test_every_selection_carries_equal_sizes_as_it_carries_equal_parts(
    text: str, ranks: int
) -> None:
    """Round by round the same flows, by whatever algorithm."""
    chosen = selection(text)
    even = chosen.rounds("all_to_all", range(ranks), 960.0, Links("test", 8.0))
    uneven = chosen.uneven(range(ranks), [[960.0 / ranks] * ranks] * ranks)
    assert len(uneven) == len(even)
    for some, others in zip(uneven, even, strict=True):
        assert [flow[:2] for flow in sorted(some)] == [flow[:2] for flow in sorted(others)]
        sizes = [[flow.nbytes for flow in sorted(flows)] for flows in (some, others)]
        assert sizes[0] == pytest.approx(sizes[1])


@given(st.data())
@settings(max_examples=30)
def test_every_algorithm_brings_each_rank_what_is_for_it(data: st.DataObject) -> None:
    """Of what others send, it gets more than its own by just what it passes on."""
    row = st.lists(st.integers(0, 9), min_size=6, max_size=6)
    sizes = data.draw(st.lists(row, min_size=6, max_size=6))
    ranks = (0, 1, 4, 5, 8, 9)  # two on each host of four
    for text in ("ring", "gloo", "ring,all_to_all=ring", "ring,all_to_all=hierarchical:4:3"):
        flows = [*chain(*selection(text).uneven(ranks, sizes))]
        assert all(flow.nbytes > 0 for flow in flows)
        for place, rank in enumerate(ranks):
            kept = sum(flow.nbytes * ((flow.dst == rank) - (flow.src == rank)) for flow in flows)
            for_it = sum(sizes[other][place] for other in range(6))
            assert kept == pytest.approx(for_it - sum(sizes[place]))


def test_hosts_and_rings_pass_on_what_is_not_for_them() -> None:
    """From rank 0 to rank 3 of two hosts of two: by way of rank 1, and round the ring."""
    sizes = [[0, 0, 0, 6], *[[0] * 4] * 3]
    hosts = selection("ring,all_to_all=hierarchical:2").uneven(range(4), sizes)
    assert hosts == [[Flow(0, 1, 6)], [Flow(1, 3, 6)]]
    ring = selection("ring,all_to_all=ring").uneven(range(4), sizes)
    assert ring == [[Flow(0, 1, 6)], [Flow(1, 2, 6)], [Flow(2, 3, 6)]]


def test_an_algorithm_of_ones_own_says_that_it_is_for_equal_parts() -> None:
    """Nobody knows what it would do."""
    for lowerings in ({}, {"all_to_all": direct.reduce_scatter}):
        with pytest.raises(InputError, match="'own' has no algorithm for an all-to-all of parts"):
            Fixed("own", lowerings).uneven(range(2), [[1, 1], [1, 1]])


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([[0, 1]], r"sizes has 1 rows of \[2\] columns, expected 2 of 2"),
        ([[0, 1], [1]], r"sizes has 2 rows of \[1, 2\] columns"),
        ([[0, -1], [1, 0]], r"sizes\[0\]\[1\] is -1, expected >= 0"),
        ([[0, 1], [float("nan"), 0]], r"sizes\[1\]\[0\] is nan"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes: list[list[float]], said: str) -> None:
    """By place."""
    others = (uneven_algorithm("ring"), uneven_algorithm("hierarchical:2"))
    for of in (direct.all_to_all_of, direct.pairwise_all_to_all_of, *others):
        with pytest.raises(InputError, match=said):
            of(range(2), sizes)
