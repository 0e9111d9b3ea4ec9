"""Common base of the methods that insert bottleneck adapters."""

from __future__ import annotations

from pydantic import Field

from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from finetune.inserted.adapters.bottleneck import Activation
from finetune.inserted.adapters.insert import InsertAdapters
from finetune.method import Method
from finetune.parameters.names import head_names, norm_names

__all__ = ["AdapterMethod"]


class AdapterMethod(Method):
    """Bottleneck adapters are trained, the head, and where the method does so the norms."""

    activation: Activation = Field("relu", description="activation function between the two projections")
    norms: bool = Field(False, description="train the norms too")

    def change(self, sketch: Sketch) -> InsertAdapters:
        """The adapters; every method has its own."""
        raise NotImplementedError

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        norms = norm_names(bundle) if self.norms else frozenset[str]()
        return self.change(bundle.sketch()).inserted(bundle) | head_names(bundle) | norms

    def refuses(self, sketch: Sketch) -> str | None:
        return self.change(sketch).refuses(sketch)
