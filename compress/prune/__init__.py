"""Pruning: of units in `units`, of single weights in `weights`, inside a training in `gradual`."""
