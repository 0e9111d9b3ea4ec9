"""Pfeiffer adapters: one bottleneck in each block, after the feed-forward network."""

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
    """One bottleneck adapter in each block, after the feed-forward network; the head is trained too.

    norm(s) <- norm(s + up(relu(down(norm(s))))) for the sum s of the feed-forward network and its residual.

    The placement that the AdapterFusion paper's search found, also equation 1 of MAD-X: the adapter's input is the
    norm's output, its residual is the network's output, and the norm, which is not trained, is applied again. In a
    pre-norm family (ModernBERT, T5, GPT-2, ViT) there is none to apply again, and the adapter follows the network's
    last linear. The bottleneck is a 16th of the hidden size: L(2md + m + d) parameters, 894,528 for BERT-base. The
    initialization is Houlsby's, near the identity.

    The rate is the paper's, with linear decay; up to 30 epochs with an early stop there, 6 here.

    References:
        Pfeiffer et al. 2021 (AdapterFusion), arXiv 2005.00247; Pfeiffer et al. 2020 (MAD-X), arXiv 2005.00052, equation
        1.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=6, learning_rate=1e-4).over(DEFAULT_PLAN)

    reduction: Count = Field(16, description="hidden size over bottleneck size")
    width: Count | None = Field(None, description="bottleneck size, in place of a reduction")
    init_std: Positive = Field(1e-3, description="standard deviation of the projections' initialization")

    def change(self, sketch: Sketch) -> InsertAdapters:
        return InsertAdapters(
            owner=self.name,
            form="norm",
            places=("ffn",),
            width=self.width or max(1, sketch.hidden // self.reduction),
            activation=self.activation,
            init_std=self.init_std,
        )
