"""What carries out a schedule: processes, one process in turn, or the simulator."""
