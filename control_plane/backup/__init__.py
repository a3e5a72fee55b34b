"""Backups of the data folder: one archive each, consistent while Ingot runs, and never half of one."""
