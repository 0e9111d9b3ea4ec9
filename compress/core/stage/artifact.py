"""An exported directory and the runtime that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = ["Artifact", "Session"]


class Session(Protocol):
    """Inference session: an exported model, opened in its runtime."""

    def outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The model's outputs by name (`logits`, ...), float32."""
        ...

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The `logits` alone, (batch, labels) float32, for int64 inputs: `input_ids` (batch, length), ..."""
        ...


@dataclass(frozen=True)
class Artifact:
    """Exported model: `directory` holds it with its config and tokenizer; `runtime` is the format's name."""

    directory: Path
    runtime: str
    precision: str
    notes: dict[str, Any] = field(default_factory=dict)
