"""The peak memory of a training, predicted without running it."""
