"""Pruning inside a training: sparsity schedules, masks that tighten, movement scores."""
