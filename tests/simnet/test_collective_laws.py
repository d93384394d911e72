"""What holds for every collective algorithm, whoever takes part and however much it moves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network.collectives import hierarchical
from simnet.network.collectives.flow import Flow, Lowering, Round
from simnet.network.collectives.named import algorithm
from simnet.network.collectives.overlay import pipelined, together
from simnet.network.collectives.selection import ALGORITHMS

PLAIN = {f"{kind}={n}": a for kind, names in ALGORITHMS.items() for n, a in names.items()}
IN_CHUNKS = {f"{name}:3": pipelined(lower, 3) for name, lower in PLAIN.items()}


def in_hosts(kind: str) -> Lowering:
    """In hosts of two by place, whatever the ranks are called; of one where their count is odd."""

    def lowering(ranks: Sequence[int], nbytes: float) -> list[Round]:
        size = 2 - len(ranks) % 2
        groups = [ranks[k : k + size] for k in range(0, len(ranks), size)]
        return hierarchical.HIERARCHICAL[kind](groups, nbytes)

    return lowering


ON_HOSTS = {f"{kind}=hierarchical": in_hosts(kind) for kind in hierarchical.HIERARCHICAL}
ALL = PLAIN | IN_CHUNKS | ON_HOSTS

lowerings = pytest.mark.parametrize("name", ALL)
counts = st.integers(1, 17)


def lowered(name: str, ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A message has two ends, whatever else is asked for."""
    return ALL[name](ranks[:2] if name.startswith("send") else ranks, nbytes)


@lowerings
@given(count=counts, data=st.data())
@settings(max_examples=10)
def test_other_ranks_do_the_same_under_other_names(
    name: str, count: int, data: st.DataObject
) -> None:
    """Permutation symmetry: relabelling the ranks relabels the flows."""
    ranks = data.draw(st.permutations(range(100, 100 + max(2, count))))
    plain = lowered(name, range(len(ranks)), 960.0)
    renamed = [[Flow(ranks[src], ranks[dst], size) for src, dst, size in flows] for flows in plain]
    assert lowered(name, ranks, 960.0) == renamed


@lowerings
@given(count=counts, nbytes=st.integers(0, 10**12))
@settings(max_examples=10)
def test_flows_join_two_members_and_are_linear_in_the_bytes(
    name: str, count: int, nbytes: int
) -> None:
    """None goes to its own rank; four times the bytes is four times each flow, to the bit."""
    ranks = range(max(2, count))
    once, more = (lowered(name, ranks, factor * nbytes) for factor in (1, 4))
    for flow, larger in zip(chain(*once), chain(*more), strict=True):
        assert flow.src != flow.dst
        assert {flow.src, flow.dst} <= set(ranks)
        assert flow.nbytes >= 0
        assert larger == (flow.src, flow.dst, 4 * flow.nbytes)


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("send")])
def test_one_rank_alone_has_nothing_to_do(name: str) -> None:
    """No rounds, in chunks or not."""
    assert ALL[name]([7], 960.0) == []


@pytest.mark.parametrize("name", PLAIN)
@given(count=counts, chunks=st.integers(1, 9))
@settings(max_examples=10)
def test_chunks_move_the_same_bytes_in_a_round_more_for_each(
    name: str, count: int, chunks: int
) -> None:
    """From each rank to each; every flow is one of one chunk."""
    ranks = range(max(2, count))[: 2 if name.startswith("send") else None]
    whole = PLAIN[name](ranks, 1.0)
    parts = pipelined(PLAIN[name], chunks)(ranks, 1.0)
    assert len(parts) == len(whole) + chunks - 1
    one = sorted(chain(*PLAIN[name](ranks, 1.0 / chunks)))
    assert sorted(chain(*parts)) == sorted(one * chunks)


def test_a_pipeline_starts_each_chunk_a_round_later() -> None:
    """Two rounds and three chunks, by hand."""
    first, second = Flow(0, 1, 2.0), Flow(1, 2, 2.0)

    def lower(ranks: Sequence[int], nbytes: float) -> list[Round]:
        return [[Flow(ranks[0], ranks[1], nbytes)], [Flow(ranks[1], ranks[2], nbytes)]]

    assert pipelined(lower, 3)(range(3), 6.0) == [
        [first],
        [first, second],
        [first, second],
        [second],
    ]


def test_what_goes_together_shares_rounds_until_the_longest_ends() -> None:
    """Shorter ones pause at the end."""
    one, two, three = Flow(0, 1, 1.0), Flow(1, 0, 1.0), Flow(2, 3, 1.0)
    assert together([[[one], [two]], [[three]], []]) == [[one, three], [two]]


@pytest.mark.parametrize("name", ["all_gather=ring", "all_reduce=ring", "broadcast=chain:512"])
def test_a_thousand_rounds_that_are_alike_are_one_list(name: str) -> None:
    """So that a large ring or a long pipeline takes no time to lower, and little memory."""
    kind, algorithm_name = name.split("=")
    rounds = algorithm(kind, algorithm_name)(range(256), 1.0)
    assert len(rounds) >= 255
    assert sum(len(flows) for flows in {id(flows): flows for flows in rounds}.values()) <= 256**2
