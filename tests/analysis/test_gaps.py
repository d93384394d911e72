"""Gaps, in few words however many there are."""

from __future__ import annotations

from analysis.gaps import Gaps


def test_gaps_of_one_reason_are_told_together() -> None:
    """Layers with the same steps in one sentence, runs of numbers as first to last."""
    gaps = Gaps()
    assert gaps.text == ""
    for layer in (0, 1, 2, 5):
        gaps.add("not kept", layer, [7, 8])
        gaps.add("not kept", layer, [9])
    gaps.add("not kept", 3, [1])
    gaps.add("zero", 3, [])
    assert gaps.text == "layer 0 to 2, 5, step 7 to 9: not kept; layer 3, step 1: not kept"


def test_many_gaps_are_counted() -> None:
    """So that a broken trace does not fill pages."""
    gaps = Gaps()
    for layer in range(30):
        gaps.add("not kept", layer, range(layer + 1))
    assert gaps.text.endswith("layer 11, step 0 to 11: not kept; and 18 more")
