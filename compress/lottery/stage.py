"""The stages of the lottery ticket hypothesis; each has a file of its own."""

from __future__ import annotations

from compress.lottery.apply_ticket import ApplyTicket
from compress.lottery.compare_subnetworks import CompareSubnetworks
from compress.lottery.find_ticket import FindTicket

__all__ = ["ApplyTicket", "CompareSubnetworks", "FindTicket"]
