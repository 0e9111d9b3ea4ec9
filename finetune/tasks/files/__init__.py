"""Readers of data files, one for each kind: separated values, JSON, parquet."""
