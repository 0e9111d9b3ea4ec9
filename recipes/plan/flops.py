"""FLOPs of one forward pass, counted on the meta device where the model allows it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compress.core.model.evaluation import evaluating
from finetune.batching.example_inputs import example_inputs

__all__ = ["forward_flops"]


def forward_flops(model: nn.Module, *, length: int) -> int | None:
    """FLOPs of one forward pass of one example; a multiply-add counts as two.

    None where the forward pass depends on values, which tensors on the meta device do not have.

    Args:
        model: on any device, the meta device too.
        length: of the example, in tokens.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    # A fused attention kernel of the CPU is not counted; its plain form is, and is the same arithmetic. With gradients,
    # because the counter asks for the graph of what a family marks as needing one (DeBERTa's embeddings).
    with evaluating(model), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        ran = _ran(model, example_inputs(model, batch_size=1, length=length))
    return int(counter.get_total_flops()) if ran else None


def _ran(model: nn.Module, inputs: dict[str, Tensor]) -> bool:
    """Whether the forward pass ended; on the meta device it cannot where it depends on values."""
    try:
        model(**inputs)
    except (RuntimeError, NotImplementedError):
        if inputs[next(iter(inputs))].device.type != "meta":
            raise
        return False
    return True
