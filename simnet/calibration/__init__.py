"""Measures a network that is there and finds the model's numbers for it."""
