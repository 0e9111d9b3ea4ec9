"""What the methods that insert adapters have in common."""

from __future__ import annotations

from pydantic import Field

from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from finetune.inserted.adapters.bottleneck import Activation
from finetune.inserted.adapters.insert import InsertAdapters
from finetune.method import Method
from finetune.parameters.parts import head_names, norm_names

__all__ = ["AdapterMethod"]


class AdapterMethod(Method):
    """Train adapters, the head, and the norms where the method says so."""

    activation: Activation = Field("relu", description="between the two projections")
    norms: bool = Field(False, description="train the norms too")

    def change(self, sketch: Sketch) -> InsertAdapters:
        """The adapters; every method has its own."""
        raise NotImplementedError

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        norms = norm_names(bundle) if self.norms else frozenset[str]()
        return self.change(bundle.sketch()).inserted(bundle) | head_names(bundle) | norms

    def refuses(self, sketch: Sketch) -> str | None:
        return self.change(sketch).refuses(sketch)
