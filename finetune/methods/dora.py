"""DoRA: low-rank updates of a weight's direction, and its row norms as a separate magnitude."""

from __future__ import annotations

from typing import ClassVar

from finetune.methods.lora import Lora

__all__ = ["Dora"]


class Dora(Lora):
    """Low-rank update of each weight's direction beside a trained magnitude vector (DoRA), and the head.

    m (W + alpha / r B A) / |W + alpha / r B A|, row by row, with m the norms of W at first; the norm in the denominator
    is a constant for the gradient (eq. 5 and section 4.3). The initial logits are the base's up to rounding (1e-6). It
    trains one parameter more for each output of a target than LoRA, and a step takes longer, since the sum of the
    weights is formed in each; once merged, inference costs nothing extra.

    Targets, the ratio of alpha to rank and the plan are those of `lora` here, since the paper tunes decoders.

    References:
        Liu et al. 2024, arXiv 2402.09353, equation 5.
    """

    magnitude: ClassVar[bool] = True
