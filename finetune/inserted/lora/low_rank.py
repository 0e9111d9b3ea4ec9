"""Low-rank updates of fixed rank around linears: LoRA, and DoRA with a learned norm of each row."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from compress.core.low_bit.linear import StoredLinear
from compress.core.model.bundle import Bundle
from compress.core.model.matrix import is_transposed, matrix
from compress.core.model.sketch import Sketch
from compress.core.values import Count, Fraction, Positive
from finetune.inserted.lora.insertion import ADAPTER, PeftInsertion
from finetune.inserted.lora.targets import check_rank

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["InsertLora"]


class InsertLora(PeftInsertion):
    """Low-rank update alpha / rank B A beside each target; A is drawn (Kaiming, uniform), B is zero.

    With `magnitude` the rows of the sum have a learned norm, initialized to that of the base's rows (DoRA).
    """

    rank: Count
    alpha: Positive
    dropout: Fraction = 0.0
    magnitude: bool = Field(False, description="the norm of each row is learned apart (DoRA)")

    def check(self, linears: dict[str, nn.Module]) -> None:
        check_rank(linears, self.rank)

    def config(self, bundle: Bundle, linears: dict[str, nn.Module], **more: Any) -> PeftConfig:
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # a real number does as well
            lora_dropout=self.dropout,
            use_dora=self.magnitude,
            target_modules=list(linears),
            fan_in_fan_out=any(is_transposed(linear) for linear in linears.values()),
            **more,
        )

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {**super().summary(before), "rank": self.rank}

    @torch.no_grad()
    def _start(self, layers: dict[str, Any]) -> None:
        super()._start(layers)
        for layer in layers.values() if self.magnitude else ():
            linear = layer.base_layer
            weight = linear.dense(torch.float32) if isinstance(linear, StoredLinear) else matrix(linear).float()
            # PEFT takes this norm in the base's own precision, and that of forward in fp32: in bf16 the two differ.
            magnitude = layer.lora_magnitude_vector[ADAPTER]
            magnitude.weight.copy_(torch.linalg.norm(weight, dim=1))
            if isinstance(linear, StoredLinear):
                magnitude.register_forward_pre_hook(with_dense_base, with_kwargs=True)


def with_dense_base(module: nn.Module, args: tuple[Tensor, ...], given: dict[str, Any]) -> tuple[Any, Any]:
    """Hook for PEFT's DoRA that passes the dequantized base, in place of PEFT's own reading of the stored weight.

    bitsandbytes' reading of 4 bits on a CPU is wrong where the number of inputs is no multiple of a block (64). The
    hook has no state, so a copied model can share it.

    Args:
        module: PEFT's DoRA layer.
        args: positional arguments of its call.
        given: keyword arguments of its call.
    """
    linear = given["base_layer"]
    weight = linear.dense(args[0].dtype) if isinstance(linear, StoredLinear) else matrix(linear)
    return args, {**given, "base_layer": SimpleNamespace(weight=weight, bias=linear.bias)}
