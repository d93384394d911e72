"""What happened: traces of runs, measured or predicted, in memory and on disk."""
