"""Conditions as values and in files: what each key means, and what is refused."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from simnet.network.conditions.conditions import (
    Background,
    Conditions,
    Degradation,
    Jitter,
    Straggler,
)
from simnet.network.conditions.named import Named
from simnet.network.conditions.reading import open_conditions, read
from simnet.network.conditions.spells import Once, Recurring
from simnet.network.conditions.under import Under
from simnet.network.fields import Fields
from simnet.network.graph import Graph
from simnet.network.link import Link, Switch
from simnet.network.presets import NETWORKS
from simnet.network.topology import Islands, Links, Medium
from traces.errors import InputError

DOCS = Path(__file__).resolve().parents[2] / "docs" / "conditions.md"
LINKS = Links("test", rate_bps=1e9)
OUT = "rank 0 out"
OUTAGE = Degradation((OUT,), 0.0, Once(1.0, 2.0))


def with_links(*, seed: int = 0, topology: Named = LINKS, **of: object) -> Under:
    """Two ranks on the test's links under these."""
    return Under(topology, Conditions(**of), 2, seed)  # type: ignore[arg-type]


def parsed(text: str) -> Conditions | None:
    """The conditions in a text, which has nothing else in it."""
    fields = Fields(tomllib.loads(text), "f.toml")
    conditions = read(fields)
    fields.finish()
    return conditions


def test_the_file_in_the_docs_means_what_they_say(tmp_path: Path) -> None:
    """Each key; and the hops are there on the network of the commands beside it."""
    (text,) = re.findall(r"^```toml\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "office.toml"
    file.write_text(text)
    conditions = open_conditions(file)
    assert conditions == Conditions(
        Jitter(200e-6, 1.0, 0.05),
        (Straggler(2, 1.5),),
        (
            Background(200e6, ranks=(0, 1), spells=Recurring(10e-3, 40e-3)),
            Background(50e6, ("rank 3 in",), paced=True),
        ),
        (
            Degradation(("rank 1 out", "rank 1 in"), 0.5),
            Degradation(("rank 0 out",), 0.0, Once(20e-3, 25e-3)),
        ),
    )
    assert Under(NETWORKS["ethernet-1g"], conditions, ranks=4).ranks == 4


def test_a_table_without_conditions_has_none() -> None:
    """And a network file with other tables is left to whoever knows them."""
    assert parsed("") is None
    fields = Fields({"links": [], "straggler": [{"rank": 0, "slowdown": 2}]}, "f.toml")
    assert read(fields) == Conditions(stragglers=(Straggler(0, 2),))
    assert fields.take("links") == []


def test_a_spell_may_have_a_beginning_or_an_end_alone() -> None:
    """From the start, or to the end of the run."""
    text = '[[degradation]]\nhops = "a"\nfactor = 0.5\n'
    for more, spell in (('to = "1s"', Once(0.0, 1.0)), ('from = "1s"', Once(1.0))):
        conditions = parsed(text + more)
        assert conditions is not None
        assert conditions.degradations[0].spells == spell


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[jitter]\nlatency = 20", "f.toml: jitter: latency is 20, without a unit"),
        ("[jitter]\nlatancy = '20us'", "f.toml: jitter.* key 'latancy': did you mean 'latency'"),
        ("[jitter]\nvariation = 0", "f.toml: jitter: variation is 0"),
        ("[jitter]\ncompute = -1", "f.toml: jitter: compute of jitter is -1"),
        ("[jitter]\ncompute = 1e-200", "f.toml: jitter: compute .* expected 0, or 1e-06 to 1000"),
        ("[jitter]\nvariation = 1e-200", "f.toml: jitter: variation .* expected 1e-06 to 1000"),
        ("[jitter]\nvariation = 1e200", "f.toml: jitter: variation .* expected 1e-06 to 1000"),
        ("[[jitter]]\ncompute = 1", "f.toml: jitter: is .* expected a table"),
        ("[straggler]\nrank = 0", r"write \[\[straggler\]\]"),
        ("[[straggler]]\nrank = 0", r"straggler\[0\]: the key 'slowdown' is missing"),
        ("[[straggler]]\nrank = -1\nslowdown = 2", r"straggler\[0\]: rank is -1"),
        ("[[straggler]]\nrank = 0\nslowdown = 0", r"straggler\[0\]: slowdown is 0"),
        ("[[straggler]]\nrank = 0\nslowdown = 2\n" * 2, "f.toml: straggler: rank 0 is named 2"),
        (
            "[[background]]\nrate = '1Gbit/s'",
            r"f.toml: background\[0\]: where .* give hops, or src",
        ),
        ("[[background]]\nrate = '1Gbit/s'\nsrc = 0", "the key 'dst' is missing"),
        (
            "[[background]]\nrate = 'inf'\nsrc = 0\ndst = 1",
            r"background\[0\]: rate_bps of background is inf",
        ),
        ("[[degradation]]\nhops = []\nfactor = 0.5", r"degradation\[0\]: which hops degrade"),
        ("[[degradation]]\nhops = 'a'\nfactor = 0", r"degradation\[0\]: factor is 0"),
        ("[[degradation]]\nhops = 'a'\nfactor = 2", r"degradation\[0\]: factor is 2"),
        ("[[outage]]\nhops = 'a'", r"f.toml: outage\[0\]: .* an outage without an end"),
        ("[[outage]]\nhops = 'a'\nfrom = '1s'", "an outage without an end"),
        ("[[outage]]\nhops = 'a'\nfrom = '2s'\nto = '1s'", r"outage\[0\]: it holds from 2.0 s to"),
        ("[[outage]]\nhops = 'a'\nlasts = '1s'", r"outage\[0\]: the key 'apart' is missing"),
        ("[[outage]]\nhops = 'a'\nlasts = '0s'\napart = '1s'", r"outage\[0\]: lasts is 0.0 s"),
        ("[[outage]]\nhops = 'a'\nlasts = '1s'\nto = '1s'", r"outage\[0\]: has to and lasts"),
        ("[[outage]]\nhops = 'a'\nto = '1s'\nfactor = 0.5", r"outage\[0\].* key 'factor'"),
    ],
)
def test_a_file_that_will_not_do_is_told_where(text: str, message: str) -> None:
    """The file, the table and the key, once each."""
    with pytest.raises(InputError, match=message) as failure:
        parsed(text)
    assert str(failure.value).count("f.toml") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has no conditions"), ("[jitter", "is no TOML"), ("[jittr]\n", "did you mean 'jitter'")],
)
def test_a_file_of_conditions_has_them_and_nothing_else(
    tmp_path: Path, text: str, message: str
) -> None:
    """Named by its path."""
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=f"c.toml: .*{message}"):
        open_conditions(file)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jitter(-1.0), "mean_s of jitter is -1.0"),
        (lambda: Jitter(1e7), "mean_s of jitter is 10000000.0, expected 0 to 1e.06 seconds"),
        (lambda: Jitter(math.nan), "mean_s of jitter is nan"),
        (lambda: Jitter(1.0, 0.0), "variation of jitter is 0.0"),
        (lambda: Straggler(3, 1e7), "slowdown of straggler 3 is 10000000.0, expected more than 0"),
        (lambda: Jitter(compute=math.nan), "compute of jitter is nan"),
        (lambda: Straggler(-1, 2.0), "rank of a straggler is -1"),
        (lambda: Straggler(3, 0.0), "slowdown of straggler 3 is 0.0"),
        (lambda: Background(0.0, (OUT,)), "rate_bps of background is 0.0"),
        (lambda: Background(1.0), "give hops, or src and dst"),
        (lambda: Background(1.0, (OUT,), (0, 1)), "not both"),
        (lambda: Degradation((), 0.5), "which hops degrade"),
        (lambda: Degradation((OUT,), 1.5), "rank 0 out: factor is 1.5"),
        (lambda: Degradation((OUT,), 0.0), "an outage without an end"),
        (lambda: Degradation((OUT,), 0.0, Once(5.0)), "an outage without an end"),
        (lambda: Once(2.0, 1.0), "from 2.0 s to 1.0 s"),
        (lambda: Recurring(0.0, 1.0), "lasts is 0.0 s on average"),
        (lambda: Recurring(1.0, math.inf), "apart is inf s on average"),
        (lambda: Conditions(stragglers=(Straggler(1, 2.0),) * 2), "rank 1 is named 2 times"),
        (lambda: with_links(seed=-1), "seed of the conditions is -1"),
        (lambda: with_links(stragglers=(Straggler(2, 2.0),)), "no rank 2; expected one of 0 to 1"),
        (lambda: with_links(background=(Background(1.0, ranks=(0, 5)),)), "no rank 5"),
        (lambda: with_links(background=(Background(1.0, ranks=(1, 1)),)), "rank 1 to itself"),
        (
            lambda: with_links(background=(Background(1.0, ("uplink",)),)),
            "unknown hop of network 'test' with",
        ),
        (
            lambda: with_links(degradations=(Degradation(("rank 0 oot",), 0.5),)),
            "did you mean 'rank 0 out'",
        ),
        (
            lambda: with_links(topology=NETWORKS["infinite"], degradations=(OUTAGE,)),
            "degradation: the rate of hop 'rank 0 out' of network 'infinite' is infinite",
        ),
        (
            lambda: with_links(
                topology=NETWORKS["infinite"], background=(Background(1.0, ranks=(0, 1)),)
            ),
            "all links of network 'infinite' from rank 0 to rank 1 are infinite",
        ),
    ],
)
def test_conditions_that_cannot_be_are_refused(make: Callable[[], object], message: str) -> None:
    """With the condition and the field at fault, or the hop that there is none of."""
    with pytest.raises(InputError, match=message):
        make()


GRAPH = Graph(
    "racks",
    ("a", "b", "c"),
    tuple(Link(f"l{n}", (node, "s"), 8.0, half_duplex=node == "c") for n, node in enumerate("abc")),
    switches=(Switch("s", 8.0),),
)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_graph_has_all_its_links_whoever_uses_them(ranks: int) -> None:
    """What few ranks do not cross does no harm; what is not there is refused."""
    hops = ("l0 >", "l0 <", "l1 >", "l1 <", "l2", "s")
    conditions = Conditions(
        stragglers=(Straggler(2, 2.0),),
        background=(Background(1.0, ranks=(1, 2)), Background(1.0, hops)),
        degradations=(Degradation(hops, 0.5),),
    )
    under = Under(replace(GRAPH, conditions=conditions), conditions, ranks)
    assert list(under.sites.named(conditions.degradations[0])) == list(GRAPH.hops.values())
    with pytest.raises(InputError, match="did you mean 'l1 >'"):
        Under(GRAPH, Conditions(degradations=(Degradation(("l1>",), 0.5),)), ranks)
    with pytest.raises(InputError, match="background: there is no rank 3; expected one of 0 to 2"):
        Under(GRAPH, Conditions(background=(Background(1.0, ranks=(0, 3)),)), ranks)


def test_a_straggler_that_does_not_take_part_is_harmless_only_in_the_machine_s_own_file() -> None:
    """Whoever asks for one with so many ranks has made a mistake."""
    slow = Conditions(stragglers=(Straggler(2, 2.0),))
    assert Under(replace(GRAPH, conditions=slow), slow, 2).ranks == 2
    with pytest.raises(InputError, match="straggler: there is no rank 2; expected one of 0 to 1"):
        Under(GRAPH, slow, 2)


@pytest.mark.parametrize(
    ("topology", "hops", "missing"),
    [
        (LINKS, "rank 0 out, rank 0 in, rank 1 out, rank 1 in", "rank 2 in"),
        (Medium("radio", 8.0), "medium", "rank 0 out"),
        (
            Islands("i", 2, LINKS, LINKS),
            "rank 1 in, rank 1 out, island 0 in, island 0 out",
            "island 1 in",
        ),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_a_network_of_any_size_has_the_hops_of_its_ranks(
    topology: Named, hops: str, missing: str
) -> None:
    """Also the way out of an island that they do not leave; none of other ranks."""
    there = tuple(hops.split(", "))
    with_links(topology=topology, degradations=(Degradation(there, 0.5),))
    with pytest.raises(InputError, match=f"unknown hop of network .* with 2 ranks: '{missing}'"):
        with_links(topology=topology, degradations=(Degradation((missing,), 0.5),))


def test_one_rank_alone_has_a_link() -> None:
    """So that a file can be used for it too."""
    half = Conditions(degradations=(Degradation((OUT, "rank 0 in"), 0.5),))
    assert Under(LINKS, half, 1).ranks == 1


def test_what_is_out_of_place_is_told_with_its_file_and_table(tmp_path: Path) -> None:
    """Also where only the number of ranks shows it."""
    file = tmp_path / "c.toml"
    file.write_text("[[background]]\nsrc = 0\ndst = 5\nrate = '1Gbit/s'\n")
    with pytest.raises(InputError, match=r"c.toml: background\[0\]: there is no rank 5; expected"):
        Under(LINKS, open_conditions(file), 2)


def test_conditions_are_said_in_words() -> None:
    """With where and when."""
    conditions = Conditions(
        Jitter(1e-4, compute=0.1),
        (Straggler(1, 1.5),),
        (Background(1e9, (OUT,), spells=Once(2.0)), Background(1e9, ranks=(0, 1))),
        (Degradation((OUT,), 0.5, Recurring(1.0, 4.0)), OUTAGE),
    )
    assert list(conditions.sentences()) == [
        "messages are late by 100 µs on average, variation 1",
        "computes vary, by 0.1 of their time",
        "computes of rank 1 take 1.5 times as long",
        "other traffic of up to 1.00 Gbit/s over rank 0 out, from 2.00 s on",
        "other traffic of up to 1.00 Gbit/s from rank 0 to rank 1, all the time",
        f"{OUT} at 0.5 of the rate, at random, for 1.00 s at a time and 4.00 s apart on average",
        "outage of rank 0 out, from 1.00 s to 2.00 s",
    ]


def test_a_name_says_what_the_conditions_are() -> None:
    """Of tables and traces; and the seed, where there is luck."""
    conditions = Conditions(
        Jitter(1e-4, compute=0.1),
        (Straggler(1, 1.5),),
        (Background(1e9, (OUT,)), Background(1e9, ("rank 1 in",))),
        (Degradation((OUT,), 0.5), OUTAGE),
    )
    assert Under(LINKS, conditions, 2, seed=7).name == (
        "test with jitter 100 µs, compute jitter 0.1, straggler 1:1.5, 2 background, degraded, "
        "outage, seed 7"
    )
    assert with_links(stragglers=(Straggler(1, 2.0),)).name == "test with straggler 1:2"


def test_recurring_spells_begin_and_end_in_turn() -> None:
    """In rising order, for ever."""
    edges = list(islice(Recurring(1.0, 2.0).edges(np.random.default_rng(0)), 1000))
    assert edges == sorted(edges)
    assert edges[-1] == pytest.approx(500 * 3.0, rel=0.2)
