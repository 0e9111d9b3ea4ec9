"""Prompt encoder: the reparameterization of a prompt during training."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Kind", "PromptEncoder"]

Kind = Literal["lstm", "mlp"]


class PromptEncoder(nn.Module):
    """Prompt encoder: virtual tokens as MLP(LSTM(table)), or MLP(table).

    The LSTM has two bidirectional layers of half the embedding size each; the MLP two linears with a ReLU between them.

    Args:
        kind: `lstm` is the paper's; `mlp` leaves the LSTM out.
        width: embedding size.

    References:
        Liu et al. 2021, arXiv 2103.10385, section 3.2, and the authors' code.
    """

    def __init__(self, kind: Kind, width: int):
        super().__init__()
        self.kind: Kind = kind
        half = max(1, width // 2)
        self.lstm: nn.LSTM | None = None
        if kind == "lstm":
            self.lstm = nn.LSTM(width, half, num_layers=2, bidirectional=True)
        inputs = 2 * half if kind == "lstm" else width
        self.mlp = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, table: Tensor) -> Tensor:
        """(length, width) from (length, width), in fp32 also where the model runs in fewer bits."""
        with torch.autocast("cpu" if table.is_meta else table.device.type, enabled=False):
            hidden = table if self.lstm is None else self.lstm(table)[0]
            return self.mlp(hidden)
