"""The stages of the lottery, in one place where they are found."""

from __future__ import annotations

from compress.lottery.find import FindTicket

__all__ = ["FindTicket"]
