"""Metrics of answers, one file for each family of them."""
