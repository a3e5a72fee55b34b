"""Speaks the OCI distribution API: pushes, mounts, reads, lists and deletes; knows no image's meaning."""
