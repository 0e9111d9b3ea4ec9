"""A fine-tuning method that is not there yet."""

from __future__ import annotations

from compress.core.model.bundle import Bundle
from finetune.method import Method
from finetune.parameters.names import head_names


class Newcomer(Method):
    """Train the biases of the head alone.  Nobody et al. 2026."""

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return frozenset(name for name in head_names(bundle) if name.endswith("bias"))
