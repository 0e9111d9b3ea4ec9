"""What the methods that insert a prompt or a prefix have in common."""

from __future__ import annotations

from compress.core.bundle import Bundle
from compress.core.sketch import Sketch, State
from finetune.insertion import Insertion
from finetune.method import Method
from finetune.parts import head_names

__all__ = ["PromptMethod"]


class PromptMethod(Method):
    """Train what was inserted, and the head."""

    def change(self, sketch: Sketch) -> Insertion:
        """What is inserted; every method has its own."""
        raise NotImplementedError

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return self.change(bundle.sketch()).inserted(bundle) | head_names(bundle)

    def adds(self) -> frozenset[State]:
        return frozenset[State]({"adapted"})

    def refuses(self, sketch: Sketch) -> str | None:
        return self.change(sketch).refuses(sketch)
