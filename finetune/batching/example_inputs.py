"""Example inputs of a model, without meaningful values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from compress.core.families.family import family_of
from compress.core.model.embeddings import position_limit

__all__ = ["example_inputs"]


def example_inputs(
    model: nn.Module, *, batch_size: int, length: int, device: torch.device | None = None
) -> dict[str, Tensor]:
    """Batch of full rows: token ids that end as texts do, or images.

    Args:
        model: on any device, the meta device too.
        batch_size: rows.
        length: in tokens; cut to the positions that the model has.
        device: the model's own unless given.
    """
    config: Any = model.config
    device = device or next(model.parameters()).device
    if getattr(model, "main_input_name", "input_ids") == "pixel_values":
        shape = (batch_size, config.num_channels, config.image_size, config.image_size)
        return {"pixel_values": torch.zeros(shape, device=device)}
    length = min(length, position_limit(config, family_of(config.model_type)) or length)
    padding, last = getattr(config, "pad_token_id", None), getattr(config, "eos_token_id", None)
    last = last[0] if isinstance(last, list) else last
    word = next(number for number in range(3) if number not in (padding, last))
    ids = torch.full((batch_size, length), word, dtype=torch.long, device=device)
    if last is not None:
        ids[:, -1] = last  # some heads read the answer at this token
    return {"input_ids": ids}
