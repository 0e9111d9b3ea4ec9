"""Chains stages into recipes, runs and measures them, and reports: the third door, and the command line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recipes.engine.run import run
    from recipes.file.recipe import Recipe
    from recipes.record import Report

__all__ = ["Recipe", "Report", "run"]

_HOMES = {"Recipe": "file.recipe", "Report": "record", "run": "engine.run"}


def __getattr__(name: str) -> Any:
    # Late, so that the command line costs nothing before it needs something.
    if name not in _HOMES:
        raise AttributeError(f"module 'recipes' has no attribute {name!r}")
    return getattr(importlib.import_module(f"recipes.{_HOMES[name]}"), name)
