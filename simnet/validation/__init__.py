"""Predictions held against simulators and measurements that others trust."""
