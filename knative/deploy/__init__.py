"""Ingot itself as what a cluster runs: its image, its manifests, its chart."""
