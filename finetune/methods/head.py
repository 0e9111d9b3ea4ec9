"""Only the head is trained, on what the frozen encoder says of each row, computed once."""

from __future__ import annotations

from typing import ClassVar

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.training import DEFAULT_PLAN, FitResult, TrainPlan
from finetune.cached_head import CachedHead
from finetune.method import Method
from finetune.parts import head_names

__all__ = ["Head"]


class Head(Method):
    """Train the head alone; the encoder is frozen, and runs once over the train split without dropout.

    Each further epoch reads the cached vectors, so it costs next to nothing. A pooler that the checkpoint lacked is
    part of the head. The baseline that methods of few parameters must beat: BERT-large reaches 68.2 on GLUE so, and
    80.6 when all of it is tuned (Guo et al. 2021, arXiv 2012.07463, table 1).

    The default rate is Adam's own (Kingma and Ba 2015, arXiv 1412.6980); the epochs are many because they are cheap.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=20, learning_rate=1e-3).over(DEFAULT_PLAN)

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return head_names(bundle)

    def fit(self, bundle: Bundle, ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        objective = CachedHead(bundle.to(ctx.device), self.trainable(bundle), ctx)
        ctx.note(cached_rows=len(objective), cached_bytes=objective.bytes, cache_seconds=objective.seconds)
        return ctx.fit(bundle, objective, plan, name=name)

    def cached_bytes(self, bundle: Bundle, *, rows: int) -> int:
        return 4 * rows * bundle.sketch().hidden
