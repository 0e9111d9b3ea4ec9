"""One record for each model family: what its attention, feed-forward network, norms and embeddings are called."""
