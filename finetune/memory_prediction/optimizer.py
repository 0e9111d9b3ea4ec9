"""Bytes of the optimiser's states for the trained parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

__all__ = ["optimizer_bytes"]

SMALL = 4096
"""Tensors with fewer numbers than this keep their states in fp32 in bitsandbytes' 8-bit optimisers."""
SCALE = 4 / 256
"""Bytes of scales for each number of a state in 8 bits."""
STATES = (("adafactor", 0), ("apollo", 2), ("galore", 2), ("ademamix", 3), ("lomo", 0), ("adagrad", 1), ("rmsprop", 1),
          ("lion", 1), ("adamw", 2), ("sgd", 0))  # fmt: skip
"""Beginning of an optimiser's name -> states as large as the parameter; what is not listed is taken for Adam."""


def optimizer_bytes(trained: Iterable[Tensor], name: str) -> int:
    """Bytes of the optimiser's states: 8 for each number with Adam, two running means in fp32; 2.03 with 8-bit states.

    Args:
        trained: the parameters.
        name: of the optimiser, as `TrainingArguments.optim` has it.

    References:
        Dettmers et al. 2022, arXiv 2110.02861, section 2 (states in 8 bits, in blocks of 256); Shazeer and Stern 2018,
        arXiv 1804.04235, section 3 (Adafactor's factored second moment).
    """
    if name.removeprefix("paged_").startswith("adafactor"):
        return sum(_factored(parameter) for parameter in trained)
    states = next((count for start, count in STATES if name.removeprefix("paged_").startswith(start)), 2)
    eight_bit = name.endswith("8bit")
    return sum(states * _state(parameter.numel(), eight_bit=eight_bit) for parameter in trained)


def _state(numbers: int, *, eight_bit: bool) -> int:
    return math.ceil(numbers * (1 + SCALE)) if eight_bit and numbers >= SMALL else 4 * numbers


def _factored(parameter: Tensor) -> int:
    """A number for each row and each column of a matrix; all of a vector."""
    shape = parameter.shape
    if len(shape) < 2:
        return 4 * parameter.numel()
    rest = math.prod(shape[:-2])
    return 4 * rest * (shape[-1] + shape[-2])
