"""One file for each export format, and their helpers."""
