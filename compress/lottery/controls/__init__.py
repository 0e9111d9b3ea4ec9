"""Subnetworks that a ticket must beat, one file each."""
