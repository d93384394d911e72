"""Collectives as rounds of flows: their bytes, rounds and times against the literature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import pytest
import simpy

from simnet.network.collectives import direct, doubling, hierarchical, ring, tree
from simnet.network.collectives.flow import Flow, Lowering, Round, backwards
from simnet.network.collectives.overlay import pipelined
from simnet.network.collectives.selection import ALGORITHMS, Fixed
from simnet.network.network import Exchange, Line
from simnet.network.topology import Islands, Links, Topology
from traces.errors import InputError

LATENCY_S, BYTES_PER_S = 0.25, 64.0
LINKS = Links("test", rate_bps=8 * BYTES_PER_S, latency_s=LATENCY_S)
RANKS = [2, 3, 4, 5, 8, 16]
COLLECTIVES = [
    pytest.param(kind, name, id=f"{kind}={name}")
    for kind, names in ALGORITHMS.items()
    for name in names
    if kind != "send"
]
#: With hosts of two and three ranks, where so many ranks fill some.
GROUPED = [(hosts, per_host) for hosts in (1, 2, 3, 4) for per_host in (1, 2, 3)]


def took(lower: Lowering, ranks: int, nbytes: float, network: Topology = LINKS) -> float:
    """Seconds on idle links until the last rank is done."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    chosen = replace(network, collectives=Fixed("one", {"x": lambda of, _: lower(of, nbytes)}))
    exchange = Exchange("x", members, 0, Line("world", members), 0, (0.0,) * ranks)
    chosen.traffic(env).carry(exchange)
    env.run()
    return float(env.now)


class Form(NamedTuple):
    """Of n ranks with one byte each: rounds, bytes of all flows, and time with a and 1/B."""

    rounds: int
    nbytes: float
    time: Callable[[float, float], float]


def steps(count: int, each: float, ranks: int) -> Form:
    """So many rounds in lockstep, in which every rank sends so much."""
    return Form(count, count * each * ranks, lambda a, b: count * (a + each * b))


def lg(n: int) -> int:
    """Rounded up."""
    return (n - 1).bit_length()


def binomial(n: int) -> Callable[[float, float], float]:
    """The last arrival: each rank sends as soon as it has the value and its link is free."""
    return lambda a, b: max(p.bit_length() * b + p.bit_count() * a for p in range(1, n))


def folded(n: int) -> Form:
    """Rabenseifner's all-reduce, for any n."""
    power = 1 << n.bit_length() - 1
    extra = n - power
    fold = 2 if extra else 0
    core = 2 * (power - 1) / power
    return Form(
        2 * lg(power) + fold,
        power * core + 2 * extra,
        lambda a, b: (2 * lg(power) + fold) * a + (core + fold) * b,
    )


def eager(n: int) -> Callable[[float, float], float]:
    """When the last place of a binomial tree has what each sends to all its children at once."""
    children = [sum(parent_of(child) == place for child in range(1, n)) for place in range(n)]

    def have_s(place: int, a: float, b: float) -> float:
        if not place:
            return 0.0
        parent = parent_of(place)
        return have_s(parent, a, b) + children[parent] * b + a

    return lambda a, b: max(have_s(place, a, b) for place in range(n))


def parent_of(place: int) -> int:
    """Without its highest bit."""
    return place - (1 << place.bit_length() - 1)


def closed_form(kind: str, name: str, n: int) -> Form:
    """As docs/collectives.md has them."""
    part = 1 / n
    others = n - 1
    forms = {
        "all_gather=ring": steps(others, 1, n),
        "all_gather=direct": Form(1, n * others, lambda a, b: a + others * b),
        "all_gather=doubling": Form(lg(n), n * others, lambda a, b: lg(n) * a + others * b),
        "all_gather=bruck": Form(lg(n), n * others, lambda a, b: lg(n) * a + others * b),
        "all_reduce=ring": steps(2 * others, part, n),
        "all_reduce=direct": Form(2, 2 * others, lambda a, b: 2 * (a + others * part * b)),
        "all_reduce=tree": Form(
            2 * lg(n), 2 * others, lambda a, b: lg(n) * (a + b) + binomial(n)(a, b)
        ),
        "all_reduce=doubling": folded(n),
        "reduce_scatter=ring": steps(others, part, n),
        "reduce_scatter=direct": Form(1, others, lambda a, b: a + others * part * b),
        "reduce_scatter=pairwise": steps(others, part, n),
        "reduce_scatter=doubling": Form(lg(n), others, lambda a, b: lg(n) * a + others * part * b),
        "reduce_scatter=all_reduce": steps(2 * others, part, n),
        "all_to_all=pairwise": steps(others, part, n),
        "all_to_all=direct": Form(1, others, lambda a, b: a + others * part * b),
        "all_to_all=ring": steps(n * others // 2, part, n),
        "broadcast=tree": Form(lg(n), others, binomial(n)),
        "broadcast=eager-tree": Form(lg(n), others, eager(n)),
        "broadcast=chain": Form(others, others, lambda a, b: others * (a + b)),
        "broadcast=direct": Form(1, others, lambda a, b: a + others * b),
        "reduce=tree": Form(lg(n), others, lambda a, b: lg(n) * (a + b)),
        "reduce=chain": Form(others, others, lambda a, b: others * (a + b)),
        "reduce=direct": Form(1, others, lambda a, b: a + others * b),
        "reduce=scattered": Form(
            n, others + others * part, lambda a, b: n * a + 2 * others * part * b
        ),
        "gather=direct": Form(1, others, lambda a, b: a + others * b),
        "scatter=direct": Form(1, others * part, lambda a, b: a + others * part * b),
        "barrier=dissemination": Form(lg(n), n * lg(n), lambda a, b: lg(n) * (a + b)),
        "barrier=tree": Form(
            2 * lg(n), 2 * others, lambda a, b: lg(n) * (a + b) + binomial(n)(a, b)
        ),
    }
    return forms[f"{kind}={name}"]


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize(
    ("kind", "name"), [c for c in COLLECTIVES if c.id != "all_reduce=double_tree"]
)
def test_rounds_bytes_and_time_are_those_of_the_literature(
    kind: str, name: str, ranks: int
) -> None:
    """On idle links of the ranks' own; for no bytes too, where only latencies are left."""
    lower = ALGORITHMS[kind][name]
    form = closed_form(kind, name, ranks)
    for nbytes in (0.0, 24.0, 960.0):
        rounds = lower(range(ranks), nbytes)
        assert len(rounds) == form.rounds
        total = sum(flow.nbytes for flows in rounds for flow in flows)
        assert total == pytest.approx(form.nbytes * nbytes, rel=1e-12)
        expected_s = form.time(LATENCY_S, nbytes / BYTES_PER_S)
        assert took(lower, ranks, nbytes) == pytest.approx(expected_s, rel=1e-12)


@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
def test_a_binomial_tree_of_a_power_of_two_takes_all_its_latencies(ranks: int) -> None:
    """The literature's own form: lg n (a + s/B)."""
    assert took(tree.broadcast, ranks, 64) == lg(ranks) * (LATENCY_S + 1)
    assert took(tree.all_reduce, ranks, 64) == 2 * lg(ranks) * (LATENCY_S + 1)


#: What each of n ranks must receive and send at the least, when each brings one byte; of kinds in
#: which no rank is another than the others.
LEAST: dict[str, Callable[[int], tuple[float, float]]] = {
    "all_gather": lambda n: (n - 1, 1),
    "all_reduce": lambda _: (1, 1),
    "reduce_scatter": lambda n: (1 / n, (n - 1) / n),
    "all_to_all": lambda n: ((n - 1) / n, (n - 1) / n),
}


def sent(rounds: Sequence[Round]) -> dict[int, float]:
    """Bytes by rank, of those that send any."""
    total: dict[int, float] = {}
    for src, _, nbytes in chain.from_iterable(rounds):
        total[src] = total.get(src, 0) + nbytes
    return total


def received(rounds: Sequence[Round]) -> dict[int, float]:
    """The same of those that receive any."""
    return sent(backwards(rounds))


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize(("kind", "name"), [c for c in COLLECTIVES if c.values[0] in LEAST])
def test_every_rank_gets_what_it_lacks_and_gives_what_others_lack(
    kind: str, name: str, ranks: int
) -> None:
    """No algorithm can do with less."""
    rounds = ALGORITHMS[kind][name](range(ranks), 1.0)
    lacked, given_away = LEAST[kind](ranks)
    assert all(received(rounds)[rank] >= lacked - 1e-12 for rank in range(ranks))
    assert all(sent(rounds)[rank] >= given_away - 1e-12 for rank in range(ranks))


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize(("kind", "name"), COLLECTIVES)
def test_what_every_rank_has_can_reach_all_that_need_it(kind: str, name: str, ranks: int) -> None:
    """When every rank passes on all that it heard of, in the order of the rounds."""
    heard = [{rank} for rank in range(ranks)]
    for flows in ALGORITHMS[kind][name](range(ranks), 1.0):
        before = [set(one) for one in heard]
        for src, dst, _ in flows:
            heard[dst] |= before[src]
    needed = {0} if kind in {"broadcast", "scatter"} else set(range(ranks))
    in_need = heard[:1] if kind in {"reduce", "gather"} else heard
    assert all(needed <= one for one in in_need)


def gathers(rounds: Sequence[Round], ranks: int, shard: float) -> bool:
    """Whether each flow can only be what its receiver still lacks, and all get everything."""
    held = [{rank} for rank in range(ranks)]
    for flows in rounds:
        before = [set(one) for one in held]
        for src, dst, nbytes in flows:
            new = before[src] - before[dst]
            assert len(new) == pytest.approx(nbytes / shard), "not all that is new to the receiver"
            held[dst] |= new
    return all(len(one) == ranks for one in held)


@pytest.mark.parametrize("ranks", [*RANKS, 7, 12])
def test_all_gathers_move_just_the_blocks_that_are_missing(ranks: int) -> None:
    """Followed block by block, and reduce-scatters backwards, where sums are copies."""
    for lower in ALGORITHMS["all_gather"].values():
        assert gathers(lower(range(ranks), 1.0), ranks, 1.0)
    for lower in (ring.reduce_scatter, direct.reduce_scatter, doubling.reduce_scatter):
        assert gathers(backwards(lower(range(ranks), 1.0)), ranks, 1 / ranks)


@pytest.mark.parametrize(("hosts", "per_host"), GROUPED)
def test_hierarchical_gathers_move_just_the_blocks_that_are_missing(
    hosts: int, per_host: int
) -> None:
    """As the flat ones."""
    n = hosts * per_host
    groups = hierarchical.hosts(range(n), per_host)
    assert gathers(hierarchical.all_gather(groups, 1.0), n, 1.0)
    assert gathers(backwards(hierarchical.reduce_scatter(groups, 1.0)), n, 1 / n)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8, 6, 9])
def test_all_reduces_are_a_reduce_scatter_and_an_all_gather(ranks: int) -> None:
    """Or a reduce and a broadcast, which is a reduce backwards."""
    members, part = range(ranks), 1 / ranks
    for family in (ring, direct):
        halves = [*family.reduce_scatter(members, 1.0), *family.all_gather(members, part)]
        assert family.all_reduce(members, 1.0) == halves
    if ranks & (ranks - 1) == 0:
        both = [*doubling.reduce_scatter(members, 1.0), *doubling.all_gather(members, part)]
        assert doubling.all_reduce(members, 1.0) == both
    down = tree.broadcast(members, 1.0)
    assert tree.all_reduce(members, 1.0) == [*backwards(down), *down]
    groups = hierarchical.hosts(members, 2 if ranks % 2 == 0 else 1)
    halves = [*hierarchical.reduce_scatter(groups, 1.0), *hierarchical.all_gather(groups, part)]
    assert Counter(chain(*hierarchical.all_reduce(groups, 1.0))) == Counter(chain(*halves))


def test_ranks_beyond_a_power_of_two_give_first_and_get_last() -> None:
    """Six: two of them stand aside while four halve and double."""
    first, *core, last = doubling.all_reduce(range(6), 8.0)
    assert first == [(0, 1, 8.0), (2, 3, 8.0)]
    assert last == [(1, 0, 8.0), (3, 2, 8.0)]
    assert core == doubling.all_reduce([1, 3, 4, 5], 8.0)


def copies(rounds: Sequence[Round], ranks: int, chunk: float) -> bool:
    """Whether each flow is the next chunk that its receiver lacks, and its sender had it before."""
    held = [0] * ranks
    held[0] = round(1 / chunk)
    for flows in rounds:
        before = list(held)
        for src, dst, nbytes in flows:
            assert nbytes == chunk
            assert before[dst] < before[src]
            held[dst] += 1
    return held == [held[0]] * ranks


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("chunks", [1, 2, 8])
def test_broadcasts_pass_on_only_what_they_have(ranks: int, chunks: int) -> None:
    """In chunks too, each behind the one before it."""
    for lower in (*ALGORITHMS["broadcast"].values(), tree._down):
        assert copies(pipelined(lower, chunks)(range(ranks), 1.0), ranks, 1 / chunks)
    if ranks % 2 == 0:
        rounds = hierarchical.broadcast(hierarchical.hosts(range(ranks), 2), 1.0)
        assert copies(rounds, ranks, 1.0)


@pytest.mark.parametrize("ranks", range(2, 34))
def test_inner_ranks_of_one_tree_are_leaves_of_the_other(ranks: int) -> None:
    """So that in a round of the pipeline no rank sends or receives more than twice the value."""
    edges = Counter(
        (src, dst)
        for src, dst, _ in chain(*tree.double_all_reduce(range(ranks), 2.0)[-lg(ranks) :])
    )
    assert sum(edges.values()) == 2 * (ranks - 1)
    children = Counter(src for src, _ in edges.elements())
    assert max(children.values()) <= 2
    assert len(tree._down(range(ranks), 1.0)) == tree.height(ranks) == lg(ranks)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("chunks", [1, 4, 64])
def test_a_double_tree_stays_within_its_bound(ranks: int, chunks: int) -> None:
    """And needs no more than its 2s/B when latencies do not count and chunks are many."""
    lower = pipelined(tree.double_all_reduce, chunks)
    rounds = 2 * lg(ranks) + chunks - 1
    assert len(lower(range(ranks), 64.0)) == rounds
    assert sum(sent(lower(range(ranks), 64.0)).values()) == pytest.approx(2 * 64 * (ranks - 1))
    bound_s = rounds * (LATENCY_S + 2.0 / chunks)
    assert rounds * LATENCY_S < took(lower, ranks, 64) <= bound_s * (1 + 1e-12)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("chunks", [1, 3, 8])
def test_a_chain_in_chunks_takes_a_round_more_for_each(ranks: int, chunks: int) -> None:
    """(n + c - 2)(a + s/(cB)): Sanders, Speck, Träff 2009."""
    expected_s = (ranks + chunks - 2) * (LATENCY_S + 1 / chunks)
    assert took(pipelined(ring.broadcast, chunks), ranks, 64) == pytest.approx(expected_s)


@pytest.mark.parametrize(("hosts", "per_host"), [(2, 2), (2, 4), (4, 2), (4, 4), (3, 5)])
def test_hierarchical_collectives_on_hosts_take_their_closed_forms(
    hosts: int, per_host: int
) -> None:
    """Hosts of so many on one link each, an eighth as fast: C is what one rank has of it."""
    between_s, cut = LATENCY_S + 1.0, BYTES_PER_S / 8
    network = Islands("hosts", per_host, LINKS, Links("between", 8 * cut, 1.0))
    n, s = hosts * per_host, 960.0
    inside = (per_host - 1) * (LATENCY_S + s / per_host / BYTES_PER_S)
    across = (hosts - 1) * (between_s + s / hosts / cut)  # (s/n) / (cut / per_host)
    gather = (hosts - 1) * (between_s + s * per_host / cut) + (per_host - 1) * (
        LATENCY_S + hosts * s / BYTES_PER_S
    )
    expected_s = {
        "all_gather": gather,
        "reduce_scatter": inside + across,
        "all_reduce": 2 * (inside + across),
        "all_to_all": inside + (hosts - 1) * (between_s + s / hosts / (cut / per_host)),
    }
    for kind, time_s in expected_s.items():
        lower = hierarchical.on_hosts(kind, per_host)
        assert took(lower, n, s, network) == pytest.approx(time_s, rel=1e-12)
    if hosts != 3:
        time_s = lg(hosts) * (between_s + s / cut) + lg(per_host) * (LATENCY_S + s / BYTES_PER_S)
        for kind in ("broadcast", "reduce"):
            lower = hierarchical.on_hosts(kind, per_host)
            assert took(lower, n, s, network) == pytest.approx(time_s, rel=1e-12)


def test_a_hierarchical_all_to_all_hands_blocks_on_at_the_receivers_place() -> None:
    """Two hosts of two: half inside, then all that the other host's rank wants, from both."""
    rounds = hierarchical.all_to_all([[0, 1], [2, 3]], 8.0)
    assert [sorted(flows) for flows in rounds] == [
        [Flow(0, 1, 4.0), Flow(1, 0, 4.0), Flow(2, 3, 4.0), Flow(3, 2, 4.0)],
        [Flow(0, 2, 4.0), Flow(1, 3, 4.0), Flow(2, 0, 4.0), Flow(3, 1, 4.0)],
    ]


def test_hosts_with_unlike_numbers_of_ranks_are_refused() -> None:
    """With the count of each."""
    assert hierarchical.hosts([5, 1, 4, 0], 4) == [[5, 4], [1, 0]]
    with pytest.raises(InputError, match="6 ranks do not divide into whole hosts: 4 on host 0, 2"):
        hierarchical.hosts(range(6), 4)
