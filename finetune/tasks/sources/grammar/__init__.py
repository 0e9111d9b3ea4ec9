"""The grammar of the made reviews."""
