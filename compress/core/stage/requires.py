"""Requirements of a stage, known before any model is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

__all__ = ["Data", "Requires"]

Data = Literal["rows", "labels", "texts"]
NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Requires:
    """Requirements of a stage besides a model.

    Attributes:
        names: field -> id of the earlier stage that the field names, besides `start` (`teacher`).
        reads: files whose contents decide the result; they belong to the stage's identity.
        packages: (package, extra) pairs that must be installed.
        draws: whether another seed can give another result; such a stage is repeated for each seed.
        leaf: whether later stages start from the model before it, as after an export.
        explicit_start: whether the stage must have a `start` where it follows a leaf.
        data: what it reads of the train and select parts: encoded rows, their labels, raw texts.
    """

    names: Mapping[str, str] = field(default_factory=lambda: NO_NAMES)
    reads: tuple[Path, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    draws: bool = False
    leaf: bool = False
    explicit_start: bool = False
    data: frozenset[Data] = frozenset()
