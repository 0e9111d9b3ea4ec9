"""Models on disk: found, opened for a task, saved, and opened again whatever was cut out of them."""
