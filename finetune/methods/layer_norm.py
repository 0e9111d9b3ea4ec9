"""Layer-norm tuning: only the norms and the head are trained."""

from __future__ import annotations

from typing import ClassVar

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from finetune.method import Method
from finetune.parameters.names import head_names, norm_names

__all__ = ["LayerNorm"]


class LayerNorm(Method):
    """Layer-norm tuning: the gains and shifts of all norms are trained, and the head; every other weight is frozen.

    38,400 parameters of BERT-base, 0.035 %. Its plan is that of BitFit (Ben Zaken et al. 2021, arXiv 2106.10199: rates
    of 1e-4 to 1e-3, many epochs, no decay), since both train few parameters that shift and scale activations.

    References:
        Qi et al. 2022, arXiv 2211.08682.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=8, learning_rate=1e-3, weight_decay=0.0).over(DEFAULT_PLAN)

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return norm_names(bundle) | head_names(bundle)
