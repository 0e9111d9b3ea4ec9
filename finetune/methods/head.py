"""Linear probing: only the head is trained, on cached features of the frozen encoder."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from finetune.cached.features import CachedFeatures
from finetune.inserted.mix.insert import InsertLayerMix, mix_of
from finetune.method import Method
from finetune.parameters.names import head_names

__all__ = ["Head"]


class Head(Method):
    """Linear probing: the head alone is trained, on cached features of the frozen encoder.

    The encoder runs once over the train split, without dropout; each epoch reads the cached vectors, so it costs next
    to nothing. A pooler that the checkpoint lacked is part of the head. This is the baseline that parameter-efficient
    methods must beat: BERT-large reaches 68.2 on GLUE so, and 80.6 when all of it is tuned (Guo et al. 2021, table 1).

    With `features: mix` the head's input is gamma * sum softmax(s)_j h_j over all layers instead of the last one, from
    the embeddings up (ELMo's scalar mix); s and gamma are trained with it and start at the mean. The mix stays in the
    model, so it is saved as a delta and cannot be merged.

    The default rate is Adam's own (Kingma and Ba 2015, arXiv 1412.6980); the epochs are many because they are cheap.

    References:
        Guo et al. 2021, arXiv 2012.07463, table 1; Peters et al. 2018 (ELMo), arXiv 1802.05365, equation 1, for the
        mix.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=20, learning_rate=1e-3).over(DEFAULT_PLAN)

    features: Literal["last", "mix"] = Field(
        "last", description="input of the head: the last layer, or a learned mix of all layers"
    )

    def change(self, sketch: Sketch) -> Change:
        return InsertLayerMix(layers=sketch.layers) if self.features == "mix" else Nothing()

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        inserted = InsertLayerMix(layers=1).inserted(bundle) if self.features == "mix" else frozenset()
        return head_names(bundle) | inserted

    def fit(self, bundle: Bundle, ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        objective = CachedFeatures(bundle.to(ctx.device), self.trainable(bundle), ctx)
        ctx.note(cached_rows=len(objective), cached_bytes=objective.bytes, cache_seconds=objective.seconds)
        return ctx.fit(bundle, objective, plan, name=name)

    def finish(self, bundle: Bundle, ctx: Context) -> Bundle:
        if self.features == "mix":
            mix = mix_of(bundle.model)
            shares = [round(share, 4) for share in mix.shares.detach().tolist()]
            ctx.note(layer_shares=shares, layer_scale=float(mix.gamma.detach()))
        return bundle

    def refuses(self, sketch: Sketch) -> str | None:
        return InsertLayerMix(layers=1).refuses(sketch) if self.features == "mix" else None

    def cached_bytes(self, bundle: Bundle, rows: int) -> int:
        sketch = bundle.sketch()
        return 4 * rows * sketch.hidden * (sketch.layers + 1 if self.features == "mix" else 1)
