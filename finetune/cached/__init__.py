"""Training on frozen features that are computed once."""
