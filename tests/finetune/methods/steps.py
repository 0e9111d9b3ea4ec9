"""A training of three steps, without all that a real one brings along."""

from __future__ import annotations

import torch

from compress.core.model.bundle import Bundle
from finetune.method import only_trained
from tests.tiny import tiny_inputs

__all__ = ["few_steps"]


def few_steps(bundle: Bundle, names: frozenset[str]) -> None:
    """Move the parameters `names` of the bundle's model towards other answers."""
    inputs, labels = tiny_inputs(bundle, rows=8), torch.tensor([0, 1] * 4)
    with only_trained(bundle.model, names):
        trained = [parameter for parameter in bundle.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
        for _ in range(3):
            torch.nn.functional.cross_entropy(bundle.model(**inputs).logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
