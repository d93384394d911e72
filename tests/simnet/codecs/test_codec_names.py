"""Codecs by name, and rules that choose among them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simnet.codecs.low_rank_int4 import LowRankInt4
from simnet.codecs.named import CODECS, codec, names, paper, spec
from simnet.codecs.residual import Residual, Warmup
from simnet.codecs.rule import ByTensor, Everywhere, FromLayer, FromStep
from simnet.codecs.sign import OneBit
from simnet.codecs.top_one import TopOne
from simnet.codecs.two_bit import TwoBit
from traces.errors import InputError

ONE, TWO = codec("residual-1bit"), codec("residual-2bit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1bit", Residual(OneBit(), order=0, error_feedback=False)),
        ("residual-2bit", Residual(TwoBit())),
        ("residual-1bit:error_feedback=0", Residual(OneBit(), error_feedback=False)),
        ("residual-lowrank-int4:rank=8", Residual(LowRankInt4(8))),
        ("residual2-1bit", Residual(OneBit(), order=2, warmup_steps=2)),
        (
            "residual2-sparse:m=4:decay=0.25:warmup_steps=6",
            Residual(TopOne(4), order=2, decay=0.25, warmup_steps=6),
        ),
    ],
)
def test_a_name_stands_for_a_codec(text: str, expected: Residual) -> None:
    """A prefix says the order; what is not named keeps its default."""
    assert codec(text) == expected


@given(
    name=st.sampled_from(names()),
    rank=st.integers(1, 99),
    warmup_steps=st.integers(2, 9),
    decay=st.floats(0, 1),
)
def test_every_codec_reads_back_from_its_text(
    name: str, rank: int, warmup_steps: int, decay: float
) -> None:
    """With parameters that are not the defaults."""
    settings = [f"warmup_steps={warmup_steps}"]
    settings += [f"rank={rank}"] * ("lowrank" in name) + ["m=2"] * ("sparse" in name)
    settings += [f"decay={decay}"] * name.startswith("residual2-")
    settings += ["error_feedback=0"] * name.startswith("residual-")
    chosen = codec(":".join([name, *settings]))
    assert codec(spec(chosen)) == chosen
    assert sorted(spec(chosen).split(":")) == sorted([name, *settings])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("residual-1bti", "unknown codec 'residual-1bti': did you mean 'residual-1bit'?"),
        ("residual3-1bit", "unknown codec 'residual3-1bit': did you mean"),
        ("lowrank:ranks=3", "unknown parameter of lowrank 'ranks': did you mean 'rank'?"),
        ("lowrank:rank=few", "lowrank: rank is 'few', expected an integer"),
        ("residual2-1bit:decay=slow", "decay is 'slow', expected a number"),
        ("residual-1bit:error_feedback=2", "error_feedback is 2, expected 0 or 1"),
        ("1bit:error_feedback=1", "unknown parameter of 1bit 'error_feedback'"),
        ("residual2-1bit:warmup_steps=1", "warm-up steps are 1, expected 2 or more"),
        ("sparse:m=5", "m is 5, expected one of 1, 2, 4, 8, 16"),
    ],
)
def test_a_text_that_describes_none_is_refused(text: str, message: str) -> None:
    """With the nearest name, or what would have done."""
    with pytest.raises(InputError) as refused:
        codec(text)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", sorted(CODECS))
def test_every_codec_says_where_it_comes_from(name: str) -> None:
    """In the first line of its docstring, for the list of codecs."""
    assert paper(CODECS[name]).endswith((".", ":", ","))
    assert name == "raw" or "arXiv" in paper(CODECS[name])


def test_a_rule_names_the_tensor_for_errors() -> None:
    """Its own warm-up steps come first."""
    rule = Everywhere(ONE)
    assert isinstance(rule("k", 3, 0), Warmup)
    assert rule("k", 3, 1) == ONE
    with pytest.raises(InputError, match="k of layer 3 in step 1 holds 1 NaN"):
        rule("k", 3, 1).encode((torch.zeros(1, 1),), torch.tensor([[float("nan")]]))


def test_rules_choose_by_tensor_layer_and_step() -> None:
    """And nest in any order."""
    late = FromStep(Everywhere(TWO), 10, Everywhere(ONE))
    rule = ByTensor(keys=FromLayer(Everywhere(ONE), 5, late), others=Everywhere(TWO))
    chosen = [rule(*at) for at in [("k", 4, 3), ("k", 5, 3), ("k", 5, 10), ("v", 4, 3)]]
    assert chosen == [ONE, TWO, ONE, TWO]
    assert list(rule.residuals()) == [ONE, TWO, ONE, TWO]


def test_a_change_of_codec_goes_on_from_the_state_that_is_there() -> None:
    """Which another recursion could not, and one that has not begun neither."""
    with pytest.raises(InputError, match="from step 10: both must be residuals of the same order"):
        FromStep(Everywhere(ONE), 10, Everywhere(codec("1bit")))
    with pytest.raises(InputError, match="from step 1: that is within the first one's warm-up"):
        FromStep(Everywhere(codec("residual-1bit:warmup_steps=2")), 1, Everywhere(ONE))


def test_the_code_of_the_docs_runs() -> None:
    """It holds its own assertions; every name of a codec stands in the table."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "codecs.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/codecs.md", "exec"), {})  # noqa: S102 - that is the point
    assert all(f"| `{name}" in text for name in CODECS)
