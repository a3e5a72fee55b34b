"""The function host: a process that turns connections into sandboxed instances."""
