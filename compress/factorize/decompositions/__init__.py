"""Decompositions of a matrix into two factors, one file each."""
