"""Cost profiles by measuring a model's calls one by one, without a run."""
