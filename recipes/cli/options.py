"""Parsers of the command's options: each reads one text, or raises the message about what it should be."""

from __future__ import annotations

from typing import Literal

import typer

__all__ = ["count", "length", "share"]


def count(text: str, option: str) -> int:
    """A whole number from 1.

    Args:
        text: one item of the option's value.
        option: its name, for the message.
    """
    if not text.strip().isdigit() or int(text) < 1:
        raise typer.BadParameter("a list of whole numbers from 1, as in 1,8", param_hint=option)
    return int(text)


def length(text: str, option: str) -> int | Literal["data"]:
    """A length in tokens from 1, or `data` for the data's own lengths.

    Args:
        text: one item of the option's value.
        option: its name, for the message.
    """
    return "data" if text.strip() == "data" else count(text, option)


def share(text: str, option: str) -> float:
    """A share above 0 and below 1.

    Args:
        text: one item of the option's value.
        option: its name, for the message.
    """
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise typer.BadParameter("a list of shares above 0 and below 1, as in 0.25,0.5", param_hint=option)
    return found
