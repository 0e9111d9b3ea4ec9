"""Tokenizer models that can be trimmed, one file each."""
