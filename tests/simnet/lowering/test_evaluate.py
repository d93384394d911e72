"""The vectorised evaluator says what the simulator says, or refuses and names the reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simnet.drivers.host import HostCosts
from simnet.lowering.batch import dedicated
from simnet.lowering.evaluate import Evaluated, evaluate
from simnet.lowering.graph import Graph
from simnet.network.collectives.named import selection
from simnet.network.conditions.conditions import Conditions, Jitter
from simnet.network.conditions.under import Under
from simnet.network.network import Network
from simnet.network.presets import network
from simnet.network.topology import Islands, Links, Medium
from traces.errors import InputError

Lower = Callable[..., Graph]
Unlike = Callable[[Graph], NDArray[np.float64]]
Agree = Callable[..., Evaluated]

#: Of one rank up to eight, and all that a graph may hold.
CASES = [
    ("single", 1, "dit-tiny"),
    ("ring", 2, "dit-tiny"),
    ("ring/residual-1bit", 4, "mmdit-tiny"),
    ("ring/int8", 8, "dit-tiny"),
    ("ulysses", 4, "dit-tiny"),
    ("usp:ulysses=2/residual-2bit", 4, "dit-tiny"),
    ("patch", 4, "dit-tiny"),
    ("distrifusion", 4, "dit-tiny"),
    ("pipefusion", 4, "skipdit-tiny"),
    ("tensor", 2, "crossdit-tiny"),
    ("cfg+ring", 6, "crossdit-tiny"),
    ("cfg+distrifusion", 4, "crossdit-tiny"),
    ("data+ulysses", 4, "dit-tiny"),
    ("expert", 4, "dit-moe-tiny"),
    ("displaced-expert", 2, "dit-moe-tiny"),
    ("interweaved", 4, "dit-moe-tiny"),
    ("dice", 4, "dit-moe-tiny"),
]

RATES = st.one_of(st.just(math.inf), st.floats(5, 12).map(lambda power: 10**power))
TIMES = st.one_of(st.just(0.0), st.floats(-7, -3).map(lambda power: 10**power))
LINKS = st.builds(
    Links,
    st.just("drawn"),
    RATES,
    TIMES,
    message_s=TIMES,
    ready_s=TIMES,
    cap_bps=RATES,
    collectives=st.just(selection("ring")),
)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
@hypothesis_settings(max_examples=6)
@given(data=st.data())
def test_on_links_of_their_own_it_agrees_with_the_simulator(
    case: tuple[str, int, str], small: Lower, unlike: Unlike, agree: Agree, data: st.DataObject
) -> None:
    """Rates and latencies drawn, nothing and infinitely much among them; some costs nothing."""
    graph = small(*case)
    costs = unlike(graph) * data.draw(st.sampled_from([0.0, 1e-3, 1.0]))
    links = data.draw(st.lists(LINKS, min_size=1, max_size=4))
    found = agree(graph, costs, links)
    assert set(found.why) <= {"messages that share a side of a link"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
@pytest.mark.parametrize("share", [0.0, 0.087])
def test_points_of_one_call_do_not_disturb_each_other(
    case: tuple[str, int, str], share: float, small: Lower, unlike: Unlike, agree: Agree
) -> None:
    """Rates far apart in one batch, with and without transfers that slow computes down."""
    graph = small(*case)
    links = [Links("x", rate, 3e-5) for rate in (1e6, 1e8, 3e9, math.inf)]
    found = agree(graph, unlike(graph), links, transfer_share=share)
    text = case[0]
    if not share and text not in ("pipefusion", "cfg+distrifusion"):
        assert found.refused.sum() <= 1, found.why


@pytest.mark.parametrize("text", ["ring", "ring/int8", "distrifusion", "usp:ulysses=2"])
@pytest.mark.parametrize("share", [0.36, 0.087])
def test_what_transfers_take_from_computes_is_not_refused(
    text: str, share: float, small: Lower, unlike: Unlike, agree: Agree
) -> None:
    """Where no rank waits for another one's compute to know what slows down its own."""
    graph = small(text)
    links = [Links("x", 10.0**power, 1e-5) for power in (5, 6, 7, 8, 9, 10)]
    found = agree(graph, unlike(graph), links, transfer_share=share)
    assert not found.refused.any()
    assert (found.compute_s > evaluate(graph, unlike(graph), links).compute_s).all()


@pytest.mark.parametrize("text", ["ring", "distrifusion", "pipefusion", "dice"])
def test_a_host_that_always_takes_the_same_is_part_of_it(
    text: str, small: Lower, unlike: Unlike, agree: Agree
) -> None:
    """Gaps, posting, waking and being late; and what comes before all else."""
    graph = small(text, model="dit-moe-tiny" if text == "dice" else "dit-tiny")
    host = HostCosts((3e-5,), (7e-5,), (2e-5,), (1.1e-5,))
    links = [Links("x", 10.0**power, 1e-5) for power in (6, 8, 10)]
    found = agree(graph, unlike(graph), links, host=host, outside_s=0.5)
    assert (found.host_s[~found.refused] > 0.5).all()
    assert not found.refused.all()


def test_a_host_that_draws_is_refused(small: Lower, unlike: Unlike) -> None:
    """By name."""
    found = evaluate(
        small("ring"), unlike(small("ring")), dedicated(1e9), host=HostCosts((1e-5, 2e-5))
    )
    assert found.refused.tolist() == [True]
    assert list(found.why) == ["what operations take of a host, drawn at random"]


@pytest.mark.parametrize(
    "chosen", ["gloo", "nccl", "ring,all_reduce=tree", "ring,all_gather=doubling@1", "hosts"]
)
@pytest.mark.parametrize("text", ["ulysses", "distrifusion", "tensor", "expert"])
def test_any_selection_of_collectives(
    chosen: str, text: str, small: Lower, unlike: Unlike, agree: Agree
) -> None:
    """What it makes of an exchange is looked up once."""
    named = {"hosts": "ring,all_gather=hierarchical:2,all_reduce=hierarchical:2"}
    collectives = selection(named.get(chosen, chosen.removesuffix("@1")))
    model = {"expert": "dit-moe-tiny", "tensor": "crossdit-tiny"}.get(text, "dit-tiny")
    graph = small(text, model=model)
    links = [Links("x", 10.0**power, 1e-5, collectives=collectives) for power in (6, 9)]
    agree(graph, unlike(graph), links)


def test_islands_and_graphs_with_fixed_routes(small: Lower, unlike: Unlike, agree: Agree) -> None:
    """A ring crosses each link once, so that nobody shares one; two rings at once may."""
    inside, between = Links("a", 1e9, 1e-6), Links("b", 1e8, 1e-4)
    islands: list[Network] = [
        Islands("i", 2, replace(inside, rate_bps=rate), between) for rate in (1e7, 1e9)
    ]
    graph = small("ring")
    assert not agree(graph, unlike(graph), islands).refused.any()
    shared = agree(small("data+ring"), unlike(small("data+ring")), [network("l20-pcie4")])
    assert shared.refused.all() or not shared.why


def test_messages_that_share_a_link_are_refused(small: Lower, unlike: Unlike) -> None:
    """On one medium for all, wherever it has a rate at all."""
    media = [Medium("m", rate) for rate in (1e7, 1e9, math.inf)]
    found = evaluate(small("ring"), unlike(small("ring")), media)
    assert found.refused.tolist() == [True, True, False]
    assert np.isnan(found.total_s).tolist() == [True, True, False]
    assert found.why == {"messages that share a side of a link": 2}


def test_what_has_no_fixed_order_is_refused_by_name(small: Lower, unlike: Unlike) -> None:
    """Conditions, buckets, acknowledgements, connections, contention."""
    plain = Links("x", 1e9)
    jittery = Under(plain, Conditions(jitter=Jitter(1e-4)), 4)
    graph = small("ulysses")
    costs = unlike(graph)
    reasons: dict[str, Network] = {
        "conditions, which change with time": jittery,
        "token buckets": replace(plain, burst_bytes=1e6),
        "acknowledgements": replace(plain, acks=0.02),
        "connections that ranks post to (gloo-posted)": replace(
            plain, collectives=selection("gloo-posted")
        ),
    }
    for why, each in reasons.items():
        assert evaluate(graph, costs, [each]).why.get(why) == 1
    mixed = evaluate(graph, costs, [plain, jittery, replace(plain, acks=0.02)])
    assert mixed.refused.tolist() == [False, True, True]


def test_algorithms_that_are_chosen_by_rates_hold_where_the_choice_is_the_same(
    small: Lower, unlike: Unlike, agree: Agree
) -> None:
    """NCCL's all-reduce is a ring or two trees; other points are refused, not mistaken."""
    nccl = selection("nccl")
    links: list[Network] = [
        Links("x", rate, latency_s, collectives=nccl)
        for rate, latency_s in ((1e6, 0.0), (1e6, 0.0), (1e11, 1e-3))
    ]
    graph = small("tensor", steps=1)
    found = agree(graph, unlike(graph), links)
    assert found.refused[2]
    assert "collectives whose algorithm is chosen by the rates" in found.why


def test_costs_may_differ_from_point_to_point(small: Lower, unlike: Unlike) -> None:
    """As for several GPUs; so may what a transfer takes, and what comes first."""
    graph = small("ring")
    costs = np.outer([1.0, 2.0, 0.5], unlike(graph))
    shares, outside = np.array([0.0, 0.1, 0.2]), np.array([0.0, 1.0, 2.0])
    batch = dedicated([1e7, 1e8, 1e9], 1e-5)
    found = evaluate(graph, costs, batch, transfer_share=shares, outside_s=outside)
    for point in range(3):
        alone = evaluate(
            graph,
            costs[point],
            dedicated(10.0 ** (7 + point), 1e-5),
            transfer_share=shares[point],
            outside_s=outside[point],
        )
        for name in ("total_s", "compute_s", "exposed_s", "host_s"):
            assert getattr(found, name)[point] == pytest.approx(
                getattr(alone, name)[0], rel=1e-12, abs=1e-12
            )


def test_a_batch_of_links_is_as_many_links(small: Lower, unlike: Unlike) -> None:
    """With every term, and more points than fit into a block."""
    graph, points = small("distrifusion"), 1111
    rng = np.random.default_rng(3)
    rates, caps = 10 ** rng.uniform(6, 10, (2, points))
    times = 10 ** rng.uniform(-6, -4, (3, points))
    latency_s, message_s, ready_s = times
    batch = dedicated(rates, latency_s, message_s=message_s, ready_s=ready_s, cap_bps=caps)
    many = evaluate(graph, unlike(graph), batch)
    for point in (0, 500, 1110):
        rate, latency, message, ready, cap = (
            float(array[point]) for array in (rates, *times, caps)
        )
        links = Links("x", rate, latency, message, ready, cap_bps=cap)
        [total_s] = evaluate(graph, unlike(graph), [links]).total_s
        assert many.total_s[point] == pytest.approx(total_s, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rate_bps": [1e9, 0.0]}, "rate_bps has 0.0, expected > 0"),
        ({"rate_bps": [1e9], "cap_bps": -1.0}, "cap_bps has -1.0"),
        ({"rate_bps": 1e9, "latency_s": [1.0, math.nan]}, "latency_s has nan"),
        ({"rate_bps": [1.0, 2.0], "ready_s": [0.0] * 3}, "unlike lengths"),
        ({"rate_bps": [[1.0]]}, "2 axes"),
    ],
)
def test_batches_of_nonsense_are_refused(arguments: dict[str, Any], said: str) -> None:
    """With the argument's name and the value."""
    with pytest.raises(InputError, match=said):
        dedicated(**arguments)


def test_arguments_that_make_no_sense_are_refused(small: Lower, unlike: Unlike) -> None:
    """Costs, shares, no networks, networks that differ in kind."""
    graph = small("ring")
    costs, links = unlike(graph), Links("x", 1e9)
    for wrong, said in ((costs[:-1], "expected .8,."), (-costs, "less than nothing")):
        with pytest.raises(InputError, match=said):
            evaluate(graph, wrong, [links])
    with pytest.raises(InputError, match=r"transfer_share is 1\.0"):
        evaluate(graph, costs, [links], transfer_share=1.0)
    with pytest.raises(InputError, match=r"outside_s has shape .2,., expected a number or .1,."):
        evaluate(graph, costs, [links], outside_s=[0.0, 1.0])
    with pytest.raises(InputError, match="no networks"):
        evaluate(graph, costs, [])
    with pytest.raises(InputError, match="differ in kind"):
        evaluate(graph, costs, [links, Medium("m", 1e9)])
    with pytest.raises(InputError, match="other routes"):
        evaluate(graph, costs, [Islands("i", islands, links, links) for islands in (2, 4)])
