"""The teacher's outputs, computed once and read again in every epoch."""
