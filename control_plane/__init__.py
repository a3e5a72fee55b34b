"""Ingot's control plane: everything but the code that runs inside functions."""
