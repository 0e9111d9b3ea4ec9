"""Plots and maps as inline SVG, and the exhibits that stages show."""
