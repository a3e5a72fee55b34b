"""The worker process: relay, reconciler and other work that no request waits for."""
