"""What one step of a model costs, counted without running it for real: operations, bytes kept for backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["activation_bytes", "example_inputs", "forward_flops"]


def example_inputs(model: nn.Module, *, batch_size: int, length: int) -> dict[str, Tensor]:
    """Inputs of the model's own kind, without values, on its device."""
    config: Any = model.config
    device = next(model.parameters()).device
    if getattr(model, "main_input_name", "input_ids") == "pixel_values":
        shape = (batch_size, config.num_channels, config.image_size, config.image_size)
        return {"pixel_values": torch.zeros(shape, device=device)}
    length = min(length, _longest(config))
    padding, last = getattr(config, "pad_token_id", None), getattr(config, "eos_token_id", None)
    last = last[0] if isinstance(last, list) else last
    word = next(number for number in range(3) if number not in (padding, last))
    ids = torch.full((batch_size, length), word, dtype=torch.long, device=device)
    if last is not None:
        ids[:, -1] = last  # some heads read the answer at this token
    return {"input_ids": ids}


def forward_flops(model: nn.Module, *, length: int) -> int | None:
    """FLOPs of one forward pass of one example; a multiply-add counts as two.

    None where the forward pass looks at values, which a model on the meta device has not.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    training = model.training
    model.eval()
    # A fused attention kernel of the CPU is not counted; its plain form is, and is the same arithmetic. With gradients,
    # because the counter asks for the graph of what a family marks as needing one (DeBERTa's embeddings).
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        ran = _ran(model, example_inputs(model, batch_size=1, length=length))
    model.train(training)
    return int(counter.get_total_flops()) if ran else None


def activation_bytes(model: nn.Module, *, batch_size: int, length: int) -> int | None:
    """Bytes that a training step keeps for backward, besides the parameters; None as in `forward_flops`."""
    own = {id(parameter) for parameter in model.parameters()}
    kept: dict[int, int] = {}
    held: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        if id(tensor) not in own and id(getattr(tensor, "_base", None)) not in own:
            kept[id(tensor)] = tensor.numel() * tensor.element_size()
            held.append(tensor)  # so that no other tensor gets its id
        return tensor

    training = model.training
    model.train()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ran = _ran(model, example_inputs(model, batch_size=batch_size, length=length))
    model.train(training)
    return sum(kept.values()) if ran else None


def _ran(model: nn.Module, inputs: dict[str, Tensor]) -> bool:
    """Whether the forward pass ended; on the meta device it cannot where it looks at values."""
    try:
        model(**inputs)
    except (RuntimeError, NotImplementedError):
        if inputs[next(iter(inputs))].device.type != "meta":
            raise
        return False
    return True


def _longest(config: Any) -> int:
    """Positions that the model has, less what RoBERTa's padding index takes; unlimited where it has no table."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 0)
    return positions - 2 if positions > 2 else 2**31
