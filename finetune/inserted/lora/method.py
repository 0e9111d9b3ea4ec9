"""Common base of the methods that use PEFT's layers."""

from __future__ import annotations

from pydantic import Field

from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from finetune.inserted.lora.insertion import inserted_names
from finetune.inserted.lora.targets import ALL, Targets
from finetune.method import Method
from finetune.parameters.names import head_names

__all__ = ["ATTENTION_VALUES", "PeftMethod", "lora_targets"]

ATTENTION_VALUES = ("query", "value")


class PeftMethod(Method):
    """PEFT's layers around linears are trained, and the head."""

    targets: Targets | None = Field(
        None, description="linears to adapt: roles (query, key, value, output, up, gate, down), names, or all"
    )

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return inserted_names(bundle.model) | head_names(bundle)

    def forbids(self, sketch: Sketch) -> frozenset[State]:
        """Each block's weights change in another way, and blocks that share them could not be merged."""
        return frozenset({"shared"})

    def refuses(self, sketch: Sketch) -> str | None:
        return _factorized(self.name, sketch)


def _factorized(name: str, sketch: Sketch) -> str | None:
    """Why layers around linears cannot be put into such a model, or None."""
    if all(linear.rank is None for linear in sketch.linears):
        return None
    return (
        f"{name} goes around plain linears, and those of this model are kept as two factors; put `merge_factors` "
        "before this stage, tune before 'factorize', or take a method that moves what is there (full, bitfit, head)"
    )


def lora_targets(targets: tuple[str, ...] | None, sketch: Sketch) -> tuple[str, ...]:
    """Targets that are given; else query and value, or on a quantized base all linears of the blocks, as QLoRA needs.

    Args:
        targets: of the recipe; None where it gives none.
        sketch: of the model.
    """
    return targets or ((ALL,) if "quantized" in sketch.states else ATTENTION_VALUES)
