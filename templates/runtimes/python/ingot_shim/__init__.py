"""What serves calls inside an instance, around the author's code.

Standard library only, since it lives in the author's process and import
space; it never imports anything of the control plane. The README beside
this package says how a template uses it.
"""
