"""Benchmarks: one module for each name that scripts/bench.py knows, side by side with the peer in one run."""
