"""Cutting a model: layers, heads, neurons, hidden size, embedding rows, masked weights."""
