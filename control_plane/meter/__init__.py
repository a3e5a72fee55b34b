"""The meter process: gateway and host records become usage; the only writer of the usage database."""
