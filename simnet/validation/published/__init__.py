"""Latencies that others measured and published, held against predictions of the same runs."""
