"""Isolation of user code on Linux, with the standard library and ctypes alone.

The package is loaded by template processes with `python -I -S`, before any
user code. It knows nothing of the control plane, of HTTP or of the functions
it isolates: it takes a description and leaves the process confined.

The calls that a template makes, in order: `levels.choose`, `base.prepare`,
then for each start `enter.spawn_instance` or `become.become_template`.
"""
