"""Tuned parameters folded into the weights of their base."""
