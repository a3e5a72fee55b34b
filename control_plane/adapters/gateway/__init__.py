"""HAProxy as the gateway: pure configuration and maps, the runtime socket, the access log."""
