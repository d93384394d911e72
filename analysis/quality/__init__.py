"""How good the pictures are that a schedule makes, beside those of a single device."""
