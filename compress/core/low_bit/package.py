"""bitsandbytes, imported where it is used.

The linears of this folder are subclasses of its own, so that PEFT and transformers take them for these, and their state
has the same names in a file. What differs, in 0.50: a forward pass of theirs converts the bias to the type
of its input, for good; on CPUs with AVX-512 BF16 `Linear4bit` packs its weight anew in evaluation, and gradients stop
there in every later training step; the int8 product keeps its input for backward, and logs a warning at each call; a
deep copy holds on to the layer that it was made of.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch

from compress.core.extras import optional

__all__ = ["bitsandbytes"]


def bitsandbytes() -> Any:
    """The package, or `MissingPackage`."""
    # It warns of an optional kernel when it is imported.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.CRITICAL)
    found = optional("bitsandbytes", extra="", purpose="storing linears in 8 or 4 bits")
    _count_flops()
    return found


@cache
def _count_flops() -> None:
    """Let torch's FLOP counter count the int8 product as the dense one."""
    from torch.utils.flop_counter import register_flop_formula

    def dense(input: Any, codes: Any, weight: Any, *others: Any, **settings: Any) -> int:
        rows, inputs = input
        return 2 * rows * inputs * weight[0]

    register_flop_formula(torch.ops.bitsandbytes.int8_mixed_scaled_mm)(dense)
