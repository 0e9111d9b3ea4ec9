"""The stages of the lottery, in one place where they are found."""

from __future__ import annotations

from compress.lottery.apply import ApplyTicket
from compress.lottery.find import FindTicket
from compress.lottery.subnetworks import CompareSubnetworks

__all__ = ["ApplyTicket", "CompareSubnetworks", "FindTicket"]
