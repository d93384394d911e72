"""What makes a network, or a GPU on it, worse than its data sheet: at random, or for a while."""
