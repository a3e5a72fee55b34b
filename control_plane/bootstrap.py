"""The composition root: the only module that chooses which adapter stands behind each port."""
