"""Bottleneck adapters, and added biases."""
