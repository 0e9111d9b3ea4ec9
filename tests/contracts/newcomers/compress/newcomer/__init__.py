"""A folder of its own."""
