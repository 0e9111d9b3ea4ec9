"""Low-rank updates and learned rescaling by PEFT's own layers, inserted in place."""
