"""`ingot`, the command line: one module for each noun, rendering apart from calling."""
