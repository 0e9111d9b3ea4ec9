"""How many positions stay, as plain data."""

from __future__ import annotations

import copy
from typing import Any

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.surgery.embeddings import keep_positions
from compress.core.values import Count

__all__ = ["KeepPositions"]


class KeepPositions(Change):
    """The model reads so many tokens and no more: the table of positions ends there, and the tokenizer cuts there."""

    length: Count
    of: Count

    def apply(self, bundle: Bundle) -> Bundle:
        keep_positions(bundle.model, bundle.family, self.length)
        if bundle.processor is not None:
            bundle.processor = shorter(bundle.processor, self.length)
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"positions": {"rows": self.length, "of": self.of}}


def shorter(tokenizer: Any, length: int) -> Any:
    """A copy of the tokenizer that cuts texts at `length` tokens."""
    found = copy.deepcopy(tokenizer)
    found.model_max_length = min(length, found.model_max_length)
    return found
