"""Low-rank updates of fixed rank, around linears: LoRA, and DoRA with a learned norm of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import nn

from compress.core.bundle import Bundle
from compress.core.matrix import is_transposed
from compress.core.settings import Count, Fraction, Positive
from finetune.lora.insertion import ADAPTER, PeftInsertion
from finetune.lora.targets import check_rank

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["InsertLora"]


class InsertLora(PeftInsertion):
    """B A of `rank`, times `alpha / rank`, beside each target; A is drawn (Kaiming, uniform), B is zero.

    With `magnitude` the rows of the sum keep a learned norm, which starts as that of the base's rows (DoRA).
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

    def summary(self) -> dict[str, Any]:
        return {**super().summary(), "rank": self.rank}

    @torch.no_grad()
    def _start(self, layers: dict[str, Any]) -> None:
        super()._start(layers)
        if not self.magnitude:
            return
        from peft.utils.integrations import dequantize_module_weight

        for layer in layers.values():
            weight = dequantize_module_weight(layer.base_layer).float()
            # PEFT takes the norm in the base's own precision, and forward in fp32: the two would differ in bf16.
            rows = weight.T if is_transposed(layer.base_layer) else weight
            layer.lora_magnitude_vector[ADAPTER].weight.copy_(torch.linalg.norm(rows, dim=1))
