"""The HTTP edge: translates between the wire and the services, and decides nothing."""
