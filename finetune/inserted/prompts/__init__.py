"""Virtual tokens and prefixes."""
