"""Traces of torch.profiler (Kineto): one JSON file per rank, read into a Trace."""
