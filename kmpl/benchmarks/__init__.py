"""Benchmarks: measurements whose tables stand beside published numbers or other methods."""
