"""Deltas: the tuned parameters saved without their base, opened on it, switched."""
