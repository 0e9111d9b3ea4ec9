"""AdaLoRA's layers: low-rank updates in SVD form, whose ranks training decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from compress.core.model.bundle import Bundle
from compress.core.model.matrix import is_transposed
from compress.core.model.sketch import Sketch
from compress.core.values import Count, Fraction, FrozenMapping, Positive
from finetune.inserted.lora.insertion import ADAPTER, PeftInsertion, inserted_layers
from finetune.inserted.lora.targets import check_rank

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["InsertAdalora", "cut_ranks", "finished"]


class InsertAdalora(PeftInsertion):
    """Low-rank update alpha / rank B E A beside each target: E diagonal, zero at first; A and B normal.

    The standard deviation of A and B is 0.02.
    """

    rank: Count = Field(description="rank at the start")
    target_rank: Count = Field(description="mean rank at the end of training")
    alpha: Positive
    dropout: Fraction = 0.0
    ranks: FrozenMapping = Field((), description="path -> rank after training, where it is less")

    def check(self, linears: dict[str, nn.Module]) -> None:
        check_rank(linears, self.rank)

    def config(self, bundle: Bundle, linears: dict[str, nn.Module], **more: Any) -> PeftConfig:
        from peft import AdaLoraConfig

        return AdaLoraConfig(
            init_r=self.rank,
            target_r=self.target_rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            total_step=1,  # PEFT asks for it; the ranks are allocated by finetune.inserted.lora.allocation
            target_modules=list(linears),
            fan_in_fan_out=any(is_transposed(linear) for linear in linears.values()),
            **more,
        )

    def apply(self, bundle: Bundle) -> Bundle:
        bundle = super().apply(bundle)
        layers = inserted_layers(bundle.model)
        for path, rank in self.ranks:
            cut_ranks(layers[path], torch.arange(rank))
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {**super().summary(before), "rank": self.rank, **({"ranks": dict(self.ranks)} if self.ranks else {})}


@torch.no_grad()
def cut_ranks(layer: Any, kept: Tensor) -> None:
    """Prune an AdaLoRA layer to some of its triplets, in place. `ranknum`, which scales them, stays.

    Args:
        layer: PEFT's, with A (rank, in), E (rank, 1) and B (out, rank).
        kept: indices of the triplets that stay, (kept,).
    """
    for parameters, dim in ((layer.lora_A, 0), (layer.lora_E, 0), (layer.lora_B, 1)):
        old = parameters[ADAPTER]
        left = old.index_select(dim, kept.to(old.device))
        parameters[ADAPTER] = nn.Parameter(left, requires_grad=old.requires_grad)
    layer.r[ADAPTER] = len(kept)


def finished(bundle: Bundle) -> tuple[Bundle, dict[str, int]]:
    """Bundle with its AdaLoRA layers pruned, in place, to the triplets with a non-zero entry of E; and path -> rank."""
    ranks: dict[str, int] = {}
    for path, layer in inserted_layers(bundle.model).items():
        kept = layer.lora_E[ADAPTER].detach().flatten().nonzero().flatten()
        cut_ranks(layer, kept)
        ranks[path] = len(kept)
    *before, insertion = bundle.changes
    bundle.changes = (*before, insertion.model_copy(update={"ranks": tuple(sorted(ranks.items()))}))
    return bundle, ranks
