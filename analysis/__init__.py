"""What the activations say: how redundant, how stale, how well they compress."""
