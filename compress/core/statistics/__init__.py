"""Intervals and paired tests: of shares (Wilson, Tango, McNemar), and by the bootstrap of everything else."""
