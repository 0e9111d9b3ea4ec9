"""Rows of one run and of several runs, compared on the same examples."""
