"""How the one block of a sharing group is initialised, one file each."""
