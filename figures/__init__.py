"""Drawings and reports of what the other packages computed."""
