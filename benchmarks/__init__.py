"""Benchmarks: one for each claim of speed. `make bench` runs them all; ratios are measured in one run."""
