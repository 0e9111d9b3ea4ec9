"""Importance scores of units and of weights (magnitude, Taylor, Wanda, SparseGPT with its solver), one file each."""
