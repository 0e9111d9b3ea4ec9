"""Learned rescaling of activations: (IA)^3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from compress.core.model.bundle import Bundle
from compress.core.model.matrix import is_transposed
from compress.core.model.wrapping import unwrapped
from finetune.inserted.lora.insertion import PeftInsertion

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["InsertIa3"]


class InsertIa3(PeftInsertion):
    """Vector of ones that multiplies each target's output, or its input where the target is a block's `down`."""

    keeps_zeros: ClassVar[bool] = True

    def config(self, bundle: Bundle, linears: dict[str, nn.Module], **more: Any) -> PeftConfig:
        from peft import IA3Config

        down = {id(unwrapped(linear)) for linear in bundle.family.block_parts(bundle.model, "down")}
        return IA3Config(
            target_modules=list(linears),
            feedforward_modules=[path for path, linear in linears.items() if id(unwrapped(linear)) in down],
            fan_in_fan_out=any(is_transposed(linear) for linear in linears.values()),
            **more,
        )
