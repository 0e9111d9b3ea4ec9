"""Trains models: the methods, the one training entry, the tasks and their data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.delta.opening import load_delta as load
    from finetune.delta.saving import move_base, save_delta
    from finetune.delta.switching import Deltas
    from finetune.method import Method
    from finetune.stage import Finetune

__all__ = ["Deltas", "Finetune", "Method", "load", "move_base", "save_delta"]

_HOMES = {
    "Deltas": ("delta.switching", "Deltas"),
    "Finetune": ("stage", "Finetune"),
    "Method": ("method", "Method"),
    "load": ("delta.opening", "load_delta"),
    "move_base": ("delta.saving", "move_base"),
    "save_delta": ("delta.saving", "save_delta"),
}


def __getattr__(name: str) -> Any:
    # Late, so that importing the package costs nothing before something is used.
    if name not in _HOMES:
        raise AttributeError(f"module 'finetune' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f"finetune.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
