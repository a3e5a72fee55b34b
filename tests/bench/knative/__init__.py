"""Benchmarks of the cluster world, by the same names as those of one machine."""
