"""Parallel adapters: a bottleneck beside the feed-forward network of each block."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.sketch import Sketch
from compress.core.values import Count, Positive
from finetune.inserted.adapters.insert import InsertAdapters, Place
from finetune.inserted.adapters.method import AdapterMethod

__all__ = ["Parallel"]


class Parallel(AdapterMethod):
    """Scaled parallel adapter: a bottleneck beside the feed-forward network of each block; the head is trained too.

    y <- y + 4 up(relu(down(x))) for the input x and the output y of the sub-layer, before the residual sum.

    Initialized as LoRA, the down-projection uniform (Kaiming) and the up-projection zero, so that the initial logits
    are the base's to the bit. L(2md + m + d) parameters. The authors' widths are 16 for GLUE, beside prefixes, and 512
    for summaries.

    The plan is that of the authors' script for GLUE: 1e-4, a decay of 0.1, warmup over 0.06 of the steps; its 10 epochs
    are cut to 6.

    References:
        He et al. 2022, arXiv 2110.04366, section 4.6.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=6, learning_rate=1e-4, weight_decay=0.1, warmup=0.06).over(
        DEFAULT_PLAN
    )

    width: Count = Field(64, description="bottleneck size")
    placement: Literal["attention", "ffn", "both"] = Field("ffn", description="the sub-layers that get an adapter")
    scaling: Positive = Field(4.0, description="constant factor of the adapter's output")
    init_std: Positive | None = Field(
        None, description="standard deviation of the projections' initialization; LoRA's initialization unless given"
    )

    def change(self, sketch: Sketch) -> InsertAdapters:
        places: tuple[Place, ...] = ("attention", "ffn") if self.placement == "both" else (self.placement,)
        return InsertAdapters(
            owner=self.name,
            form="parallel",
            places=places,
            width=self.width,
            activation=self.activation,
            init_std=self.init_std,
            scaling=self.scaling,
        )
