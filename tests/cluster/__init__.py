"""Tests against the running one-node cluster; without one they skip and say why."""
