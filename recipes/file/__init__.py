"""The recipe file: reading, validation and its errors, `--set`, the catalogue of names."""
