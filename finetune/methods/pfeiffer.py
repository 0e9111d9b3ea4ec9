"""One adapter in each block, after the feed-forward network."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.sketch import Sketch
from compress.core.values import Count, Positive
from finetune.inserted.adapters.insert import InsertAdapters
from finetune.inserted.adapters.method import AdapterMethod

__all__ = ["Pfeiffer"]


class Pfeiffer(AdapterMethod):
    """Train one adapter in each block, and the head.  Pfeiffer et al. 2021 (AdapterFusion), arXiv 2005.00247.

    norm(s) <- norm(s + up(relu(down(norm(s)))))  for the sum s of the feed-forward network and its residual.

    The placement that the paper's search found, also Pfeiffer et al. 2020 (MAD-X), arXiv 2005.00052, eq. 1: the
    adapter reads what the norm gives, its residual is what the network gives, and the norm, which is not trained, is
    used again. Where a family's norms stand before the sub-layers (ModernBERT, T5, GPT-2, ViT) there is none to use
    again, and the adapter follows the network's last linear. The width is a 16th of the model's: L(2md + m + d)
    parameters, 894,528 for BERT-base. The start is Houlsby's, near the identity.

    The rate is the paper's, with linear decay; up to 30 epochs with an early stop there, 6 here.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=6, learning_rate=1e-4).over(DEFAULT_PLAN)

    reduction: Count = Field(16, description="the model's width over the bottleneck's")
    width: Count | None = Field(None, description="of the bottleneck, in place of a reduction")
    init_std: Positive = Field(1e-3, description="standard deviation of the projections at the start")

    def change(self, sketch: Sketch) -> InsertAdapters:
        return InsertAdapters(
            owner=self.name,
            form="norm",
            places=("ffn",),
            width=self.width or max(1, sketch.hidden // self.reduction),
            activation=self.activation,
            init_std=self.init_std,
        )
