"""Lottery tickets: the search, tickets as files, their controls, good and bad subnetworks."""
