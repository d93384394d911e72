"""What is known of a plan's pictures, and what is not."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from analysis.plan.accuracy import Interval, error, interval, record
from analysis.plan.captured import Captured, coders
from analysis.plan.quality import SHIPPED, Measured, Quality
from analysis.plan.space import plans
from simnet.drivers.local import run_local
from simnet.job import Job
from simnet.schedules.named import schedule
from traces.errors import InputError

_DOCS = Path(__file__).resolve().parents[3] / "docs" / "accuracy.md"


def _of(text: str, ranks: int = 4, steps: int = 20, model: str = "dit-nano") -> Quality | None:
    return Measured.open(SHIPPED).of(schedule(text), Job(model, ranks, steps, device="meta"))


@pytest.mark.parametrize("text", ["ring", "tensor", "usp:ulysses=4", "data:images=2+patch"])
def test_what_is_in_step_and_uncoded_is_the_same(text: str) -> None:
    """Nothing was measured for it, and nothing needs to be."""
    assert _of(text) == Quality(math.inf, 0.0, "the same, up to rounding")


def test_coded_plans_have_what_was_measured() -> None:
    """The row of the shipped table, with where it is from."""
    with SHIPPED.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["schedule"] == "ring/residual-1bit"]
    expected = {row["steps"]: float(row["psnr_db"]) for row in rows}
    found = _of("ring/residual-1bit")
    assert found is not None
    assert found.db == expected["20"]
    assert found.source == "measured on dit-fashion, 4 ranks, 20 steps"


def test_fewer_steps_were_measured_at_most() -> None:
    """28 steps go by 20, 10 by 4, which lose more; of 3 nothing is known."""
    sources = [_of("distrifusion", steps=steps) for steps in (28, 10, 3)]
    told = [None if one is None else one.source.rpartition(", ")[2] for one in sources]
    assert told == ["20 steps", "4 steps", None]


def test_a_patch_for_each_rank_is_a_number_of_patches() -> None:
    """On four ranks `patches=0` is what was measured with four, on eight what was with eight."""
    assert _of("pipefusion") == _of("pipefusion:patches=4")
    on_eight, with_eight = _of("pipefusion", ranks=8), _of("pipefusion:patches=8")
    assert on_eight is not None
    assert with_eight is not None
    assert on_eight.db == with_eight.db


def test_guidance_and_teams_leave_quality_to_what_is_inside() -> None:
    """Which forward a team does, or which image, changes no picture."""
    inside = _of("ring/int8", ranks=4)
    assert inside == _of("data:images=2+ring/int8") == _of("cfg+ring/int8")


@pytest.mark.parametrize("text", ["ring/lowrank", "distrifusion:warmup_steps=3", "dice:period=1"])
def test_what_was_not_measured_is_unknown(text: str) -> None:
    """No neighbour's value stands for it."""
    model = "dit-moe-nano" if text.startswith("dice") else "dit-nano"
    assert _of(text, model=model) is None


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    """It must be one of `thinwire quality`."""
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="no table of quality"):
        Measured.open(path)


def test_captured_activations_judge_codecs_and_nothing_that_is_old(tmp_path: Path) -> None:
    """More bits lose less; a stale schedule's quality is unknown."""
    job = Job("dit-nano", 2, steps=6)
    trace = run_local(schedule("ring"), job, tmp_path / "T", keep=["kv"])
    tried = [*plans(2, ["ring", "distrifusion"], ["residual-1bit", "int8", "residual2-2bit"])]
    source = Captured(trace, "T", coders(tried))
    found = [source.of(schedule(f"ring/{name}"), job) for name in ("residual-1bit", "int8")]
    one_bit, eight_bits = found
    assert one_bit is not None
    assert eight_bits is not None
    assert 0 < one_bit.db < eight_bits.db < 80
    assert eight_bits.source == "replayed over T"
    assert source.of(schedule("ring/residual2-2bit"), job) is not None
    assert source.of(schedule("distrifusion/int8"), job) is None
    assert source.of(schedule("distrifusion"), job) is None


def test_errors_are_those_of_the_published_record() -> None:
    """docs/accuracy.md and the shipped table say the same of each strategy."""
    text = _DOCS.read_text(encoding="utf-8")
    for row in record().values():
        if row.strategy in ("all", "coded"):
            continue
        assert f"| {row.strategy} | {row.rows} | {row.median:.1%}".replace("%", " %") in text
        assert f"{row.p90:.1%}".replace("%", " %") in text
    assert (
        "| all predicted rows, with tensor parallelism and two nodes | 302 | 6.9 % | 25.2 %" in text
    )
    assert "| CompactFusion, emulated Ethernet | 7 | 3.6 % | 10.9 %" in text


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        ("usp:ulysses=2", "ulysses+ring"),
        ("cfg+pipefusion", "pipefusion+cfg"),
        ("data:images=2+cfg+ring", "ring+cfg"),
        ("patch", "all"),
        ("dice", "all"),
        ("cfg+usp:ulysses=2/int8", "coded"),
        ("ring/int8", "ring"),
    ],
)
def test_a_plan_is_as_uncertain_as_its_strategy(text: str, strategy: str) -> None:
    """With a codec no surer than CompactFusion's runs were."""
    assert error(schedule(text)).strategy == strategy


def test_intervals_hold_what_may_have_been_meant() -> None:
    """10 s predicted with an error of a quarter: 8 to 13.3 s; and which ones overlap."""
    known = record()["all"]._replace(p90=0.25)
    assert interval(10.0, known) == pytest.approx(Interval(8.0, 40 / 3))
    assert Interval(8.0, 13.0).overlaps(Interval(13.0, 20.0))
    assert not Interval(8.0, 13.0).overlaps(Interval(13.1, 20.0))
