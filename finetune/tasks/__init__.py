"""Tasks, one file each: data, labels, encoding, loss and metrics."""
