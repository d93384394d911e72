"""What all readers of other people's traces share: files that may be huge, torn or hostile."""
