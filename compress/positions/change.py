"""Change of the position embeddings, as plain data: how many positions stay."""

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
    """Trimmed position embeddings: the model takes at most `length` tokens, and the tokenizer truncates there."""

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
    """A copy of the tokenizer that truncates texts at `length` tokens.

    Args:
        tokenizer: stays as it is.
        length: in tokens, special ones included.
    """
    found = copy.deepcopy(tokenizer)
    found.model_max_length = min(length, found.model_max_length)
    return found
