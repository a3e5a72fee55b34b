"""Settings: small frozen dataclasses, one for each concern."""
