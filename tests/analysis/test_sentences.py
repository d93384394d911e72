"""Results in a sentence."""

from __future__ import annotations

import math

import numpy as np

from analysis.sentences import sentence


def test_a_sentence_is_of_what_is_known() -> None:
    """The mean, or what is asked for; nothing where nothing is known."""
    assert sentence("{:.0%} off", [0.1, math.nan, 0.3]) == "20% off"
    assert sentence("up to {:.1f}", [[1.0, 2.5]], np.max) == "up to 2.5"
    assert sentence("{:.0%} off", [math.nan]) == ""
