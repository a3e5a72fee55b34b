"""Base images, one for each runtime: Debian packages of pinned versions, the runtime, and nothing else."""
