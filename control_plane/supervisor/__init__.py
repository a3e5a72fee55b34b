"""`ingot up`: starts, watches and restarts the processes, and keeps their listening sockets."""
