"""A learned mix of all layers' hidden states."""
