"""What is timed, one file for each probe, and the interleaved timing loop."""
