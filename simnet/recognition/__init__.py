"""Which of our schedules somebody's program follows, and what others would take of its compute."""
