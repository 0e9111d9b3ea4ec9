"""Batches of encoded rows, their order, and inference over a data set."""
