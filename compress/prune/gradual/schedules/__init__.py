"""Sparsity schedules, one file each."""
