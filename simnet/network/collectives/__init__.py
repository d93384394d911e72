"""Collectives lowered to point-to-point flows: pure functions of who takes part and how much."""
