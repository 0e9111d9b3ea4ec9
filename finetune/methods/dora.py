"""Low-rank updates of a weight's direction, and its norms apart."""

from __future__ import annotations

from typing import ClassVar

from finetune.methods.lora import Lora

__all__ = ["Dora"]


class Dora(Lora):
    """Train an update of a weight's direction, its rows' norms, and the head.  Liu et al. 2024, arXiv 2402.09353.

    m (W + alpha / r B A) / |W + alpha / r B A|, row by row, with m the norms of W at first; the norm below the line is
    a constant for the gradient (eq. 5 and section 4.3). At first the model answers as before up to rounding (1e-6). It
    trains one number more for each output of a target than LoRA, and a step takes longer, since the sum of the weights
    is formed in each; once merged it costs nothing.

    Targets, the ratio of alpha to rank and the plan are those of `lora` here, since the paper tunes decoders.
    """

    magnitude: ClassVar[bool] = True
