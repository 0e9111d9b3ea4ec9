"""The results table that every view draws: its lines, cells and columns."""
