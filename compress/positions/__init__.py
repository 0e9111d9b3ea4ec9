"""Position embeddings truncated to the length that is served."""
