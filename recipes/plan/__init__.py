"""The tree of stages checked before any work, and what `check` predicts."""
