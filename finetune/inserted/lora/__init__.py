"""Low-rank updates and learned scalings, through PEFT's own layers, put in place."""
