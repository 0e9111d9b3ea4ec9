"""Rank selection, one file for each rule."""
