"""What expert parallelism can be told: parameters, and where tokens go in a simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from simnet.costs import Free
from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.schedules.named import schedule, with_routing
from traces.errors import InputError
from traces.trace import Trace

NANO = "dit-moe-nano"


@pytest.mark.parametrize(
    ("text", "model", "ranks", "message"),
    [
        ("expert", "dit-nano", 2, "has no experts"),
        ("expert", NANO, 3, "8 experts, which 3 ranks cannot share evenly; use 1, 2, 4, 8"),
        ("dice:communicators=2", NANO, 2, "expected 1 .* or 3"),
        ("dice:sync=0-9", NANO, 2, "the last layer is 3"),
        ("dice:warmup_steps=0", NANO, 2, "warmup_steps is 0, expected 1 or more"),
        ("dice:period=0", NANO, 2, "period is 0, expected 1 or more"),
        ("dice-released:period=4", NANO, 2, "with a period of 4, two exchanges of one slot alone"),
    ],
)
def test_jobs_that_will_not_do_are_refused(text: str, model: str, ranks: int, message: str) -> None:
    """With what was given and what was expected."""
    with pytest.raises(InputError, match=message):
        schedule(text).check(Job(model, ranks))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dice:sync=deeper", "expected none, deep, shallow"),
        ("dice:sync=2-1", "layers are '2-1', expected none"),
        ("dice:sync=5-", "layers are '5-', expected none"),
        ("dice:sync=0-99999999999", "expected none, deep"),
        ("dice:skip=lowest", "unknown policy .*'lowest'"),
        ("expert:routing=zipf-x", "routing is 'zipf-x', expected even"),
        ("expert:wire=int3", "unknown precision"),
        ("interweaved:scores=new", "unknown choice of scores"),
        ("expert:placement=odd", "unknown placement"),
        ("expert/1bit", "coded as residuals of order 1, such as residual-1bit"),
        ("interweaved/residual2-1bit", "have no trend"),
        ("expert:capacity=1.25/residual-1bit", "with a capacity .* leave one out"),
        ("dice:capacity=-1", "capacity is '-1', expected a number from 0 up"),
        ("dice:capacity=wide", "capacity is 'wide', expected a number"),
        ("expert:agreement=1.5", "agreement is '1.5', expected a number from 0 to 1"),
    ],
)
def test_parameters_that_will_not_do_are_refused(text: str, message: str) -> None:
    """When the schedule is named."""
    with pytest.raises(InputError, match=message):
        schedule(text)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose gate's choices were kept."""
    folder = tmp_path_factory.mktemp("recorded") / "T"
    run_local(schedule("expert"), Job(NANO, ranks=2, steps=4), folder, keep=["chosen"])
    return folder


def test_a_simulation_can_go_by_a_recorded_gate(recorded: Path) -> None:
    """To the byte for the same run; another one takes the same share of steps and layers."""
    job, by_gate = Job(NANO, ranks=2, steps=4), with_routing(schedule("expert"), str(recorded))
    trace = simulate(by_gate, job, Free(), NETWORKS["infinite"])
    columns = ["rank", "name", "step", "layer", "bytes", "wire_bytes", "parts"]
    rows = "kind == 'all_to_all'"
    live, foretold = (x.ops.query(rows)[columns] for x in (Trace.open(recorded), trace))
    assert live.reset_index(drop=True).equals(foretold.reset_index(drop=True))
    larger = simulate(by_gate, Job(NANO, ranks=4, steps=8), Free(), NETWORKS["infinite"])
    assert larger.ops["wire_bytes"].sum() > trace.ops["wire_bytes"].sum()


def test_a_trace_without_choices_is_refused(recorded: Path, tmp_path: Path) -> None:
    """As is one of a model with other experts, and no trace at all."""
    job = Job(NANO, ranks=2, steps=2)
    run_local(schedule("expert"), job, tmp_path / "T")
    none = "sends no tokens to experts; leave --routing out"
    with pytest.raises(InputError, match=none):
        with_routing(schedule("ring"), "even")
    with pytest.raises(InputError, match="holds no choices of experts"):
        simulate(
            with_routing(schedule("expert"), str(tmp_path / "T")), job, Free(), NETWORKS["infinite"]
        )
    with pytest.raises(InputError, match="is 'evenly', expected even, zipf"):
        schedule("expert:routing=evenly").claims(job)
    other = Job("dit-moe-g", ranks=2, steps=1, device="meta")
    with pytest.raises(InputError, match="its model has 8 experts, expected 16"):
        with_routing(schedule("expert"), str(recorded)).claims(other)
