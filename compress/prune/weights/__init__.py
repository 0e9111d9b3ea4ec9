"""Unstructured, block and n:m pruning: masks of single weights."""
