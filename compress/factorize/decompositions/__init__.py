"""Decompositions of a linear into two low-rank factors (SVD and its weightings), one file each."""
