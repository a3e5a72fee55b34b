"""Adapters to what others run: nothing here is needed for a call."""
