"""Structured pruning: heads, neurons, layers, entries of the hidden size."""
