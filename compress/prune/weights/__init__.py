"""Unstructured and n:m pruning: masks of single weights, SparseGPT's solver."""
