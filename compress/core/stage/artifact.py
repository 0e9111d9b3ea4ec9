"""An exported directory and the runtime that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = ["Artifact", "Session"]


class Session(Protocol):
    """An exported model, opened in its runtime."""

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Logits (batch, labels) float32 for int64 inputs (batch, length): `input_ids`, `attention_mask`, ..."""
        ...


@dataclass(frozen=True)
class Artifact:
    """`directory` holds the exported model, its config and tokenizer; `runtime` is the format's name."""

    directory: Path
    runtime: str
    precision: str
    notes: dict[str, Any] = field(default_factory=dict)
