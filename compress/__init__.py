"""Turns models into smaller models: each method is a pure function, a stage of a recipe, and a class of one file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compress.core.checkpoint.for_task import load_source
    from compress.core.checkpoint.save import load, save
    from compress.core.errors import TrimformerError
    from compress.core.families.family import Family, families, family_of
    from compress.core.model.bundle import Bundle
    from compress.core.model.change import Change
    from compress.core.model.sketch import Sketch
    from compress.core.stage.artifact import Artifact
    from compress.core.stage.context import Context
    from compress.core.stage.stage import Stage
    from compress.core.surgery.heads_and_neurons import keep_heads, keep_neurons
    from compress.core.surgery.layers import keep_layers
    from compress.core.surgery.width import keep_width

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
    "Artifact": "stage.artifact",
    "Bundle": "model.bundle",
    "Change": "model.change",
    "Context": "stage.context",
    "Family": "families.family",
    "Sketch": "model.sketch",
    "Stage": "stage.stage",
    "TrimformerError": "errors",
    "families": "families.family",
    "family_of": "families.family",
    "keep_heads": "surgery.heads_and_neurons",
    "keep_layers": "surgery.layers",
    "keep_neurons": "surgery.heads_and_neurons",
    "keep_width": "surgery.width",
    "load": "checkpoint.save",
    "load_source": "checkpoint.for_task",
    "save": "checkpoint.save",
}


def __getattr__(name: str) -> Any:
    # Late, so that importing the package costs nothing before something is used.
    if name not in _HOMES:
        raise AttributeError(f"module 'compress' has no attribute {name!r}")
    return getattr(importlib.import_module(f"compress.core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
