"""Turns models into smaller models: each method is a pure function, a stage of a recipe, and a class of one file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compress.core.artifact import Artifact
    from compress.core.bundle import Bundle
    from compress.core.change import Change
    from compress.core.context import Context
    from compress.core.errors import TrimformerError
    from compress.core.families.family import Family, families, family_of
    from compress.core.heads import keep_heads, keep_neurons
    from compress.core.loading import load_source
    from compress.core.saving import load, save
    from compress.core.sketch import Sketch
    from compress.core.stage import Stage
    from compress.core.surgery import keep_layers
    from compress.core.width import keep_width

__all__ = [
    "Artifact",
    "Bundle",
    "Change",
    "Context",
    "Family",
    "Sketch",
    "Stage",
    "TrimformerError",
    "families",
    "family_of",
    "keep_heads",
    "keep_layers",
    "keep_neurons",
    "keep_width",
    "load",
    "load_source",
    "save",
]

_HOMES = {
    "Artifact": "artifact",
    "Bundle": "bundle",
    "Change": "change",
    "Context": "context",
    "Family": "families.family",
    "Sketch": "sketch",
    "Stage": "stage",
    "TrimformerError": "errors",
    "families": "families.family",
    "family_of": "families.family",
    "keep_heads": "heads",
    "keep_layers": "surgery",
    "keep_neurons": "heads",
    "keep_width": "width",
    "load": "saving",
    "load_source": "loading",
    "save": "saving",
}


def __getattr__(name: str) -> Any:
    # Late, so that importing the package costs nothing before something is used.
    if name not in _HOMES:
        raise AttributeError(f"module 'compress' has no attribute {name!r}")
    return getattr(importlib.import_module(f"compress.core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
