"""Steps and layers by what a program calls its own parts."""

from __future__ import annotations

import pytest

from traces.imports.places import Annotation, Place, Places, Tag, tag


def places(*named: tuple[str, float, float]) -> Places:
    """Of annotations: name, start, end."""
    return Places([Annotation(*one) for one in named], ())


def test_a_step_lasts_until_the_next_one_begins() -> None:
    """What precedes the first is of none; they are counted from 0, whatever their numbers."""
    some = places(("ProfilerStep#7", 10, 19), ("ProfilerStep#8", 20, 29))
    assert [some.at(t).step for t in (5, 10, 19.5, 20, 99)] == [-1, 0, 0, 1, 1]
    assert some.steps == 2


@pytest.mark.parametrize("name", ["step {}", "denoising step {}", "timestep_{}", "Step#{}"])
def test_a_programs_own_steps_come_before_the_profilers(name: str) -> None:
    """Which may be something else, such as whole images."""
    some = places(("ProfilerStep#0", 0, 99), (name.format(3), 10, 20), (name.format(4), 20, 30))
    assert some.steps == 2
    assert some.at(25).step == 1


def test_without_any_all_is_one_step() -> None:
    """And outside of layers."""
    assert places(("warmup", 0, 9)).at(3) == Place(0, -1, "")


def test_layers_are_the_outermost_that_have_a_number() -> None:
    """Of one name by that number; of several in the order in which they first come."""
    nested = places(("block 4", 10, 20), ("layer 0", 11, 12), ("block 5", 20, 30))
    assert [nested.at(t)[1:] for t in (9, 11, 20, 30)] == [
        (-1, ""),
        (4, "block"),
        (5, "block"),
        (-1, ""),
    ]
    twice = [("nn.Module: DoubleBlock_0", 0, 5), ("nn.Module: SingleBlock_0", 5, 9)]
    mixed = places(*twice, *[(name, start + 10, end + 10) for name, start, end in twice])
    assert [mixed.at(t).layer for t in (1, 6, 11, 16)] == [0, 1, 0, 1]
    assert mixed.at(6).label == "SingleBlock"


def test_a_transfers_name_can_say_where_it_belongs() -> None:
    """As record_comm("step/layer/role")."""
    assert tag("3/12/kv") == tag("step3/layer12/kv") == Tag(3, 12, "kv")
    assert tag("FSDP::all_gather (layer1)") is None
    tagged = Places([], [(10.0, Tag(5, 0, "kv")), (20.0, Tag(5, 1, "kv")), (30.0, Tag(6, 0, "kv"))])
    assert [tagged.at(t).step for t in (5, 25, 35)] == [-1, 0, 1]
