"""Houlsby adapters: two bottlenecks in each block, after attention and after the feed-forward network."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.sketch import Sketch
from compress.core.values import Count, Positive
from finetune.inserted.adapters.bottleneck import Activation
from finetune.inserted.adapters.insert import InsertAdapters, Place
from finetune.inserted.adapters.method import AdapterMethod

__all__ = ["Houlsby"]


class Houlsby(AdapterMethod):
    """Two bottleneck adapters in each block, after attention and feed-forward network, with norms and head.

    y <- y + up(gelu(down(y))) for the output y of a sub-layer's last linear, before the residual sum and the norm.

    Section 2.1: 2L(2md + m + d) parameters, 2,379,264 for BERT-base at width 64. The initialization is near the
    identity: a truncated normal of 1e-3, as in the authors' code (the paper says 1e-2), and zero biases. In their code
    dropout stands between linear and adapter; here it follows the adapter, since every family has the linear, while
    some apply dropout as a function and others not at all. In inference both are the same.

    The paper's best rate is 3e-4, with warmup over a tenth of the steps and linear decay, for 3 or 20 epochs.

    References:
        Houlsby et al. 2019, arXiv 1902.00751, section 2.1.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=5, learning_rate=3e-4, warmup=0.1).over(DEFAULT_PLAN)

    width: Count = Field(64, description="bottleneck size; the paper tries 8 to 256")
    activation: Activation = Field("gelu", description="activation function between the two projections")
    placement: Literal["attention", "ffn", "both"] = Field("both", description="the sub-layers that get an adapter")
    init_std: Positive = Field(1e-3, description="standard deviation of the projections' initialization")
    norms: bool = Field(True, description="train the norms too, as the paper does")

    def change(self, sketch: Sketch) -> InsertAdapters:
        places: tuple[Place, ...] = ("attention", "ffn") if self.placement == "both" else (self.placement,)
        return InsertAdapters(
            owner=self.name,
            form="series",
            places=places,
            width=self.width,
            activation=self.activation,
            init_std=self.init_std,
        )
