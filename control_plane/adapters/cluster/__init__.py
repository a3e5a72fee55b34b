"""Adapters of the cluster world: each passes the contract suite of its embedded twin."""
