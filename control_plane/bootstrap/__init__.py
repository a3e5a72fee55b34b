"""The composition root: the only place that chooses which adapter stands behind each port.

One module for each process that needs parts, so that a small process does not
load what a large one needs. Everything is built from the frozen settings
document of a role (docs/contracts.md) and the keys that the role inherited.
"""
