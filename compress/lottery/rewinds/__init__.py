"""Where each round of a ticket search begins, one file each."""
