"""What to run: which schedule, with which codec and degrees, on given GPUs and a given network."""
