"""Which model it is: a mark of the weights below the task's head."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from compress.core.families.family import Family

__all__ = ["base_fingerprint"]


def base_fingerprint(model: nn.Module, family: Family) -> str:
    """`sha256:...` over the tensors of the base model, its head and pooler left out.

    A head may be drawn anew whenever the base is opened, and a delta brings its own.
    """
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    tensors: dict[str, Tensor] = dict(model.state_dict())
    whole = hashlib.sha256()
    for name in sorted(tensors):
        if name.startswith(prefix) and not set(name.split(".")) & set(family.head_modules):
            value = tensors[name].detach().cpu().contiguous()
            whole.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\n".encode())
            whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()}"
