"""What a model's own program would compute and send, found by running it without data."""
