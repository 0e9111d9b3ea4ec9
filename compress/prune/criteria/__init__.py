"""Importance scores, one file each."""
