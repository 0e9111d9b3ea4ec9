"""Fingerprints of a model: SHA-256 digests of its weights, or of its structure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from compress.core.families.family import Family
from compress.core.model.bundle import Bundle
from compress.core.model.masks import pack

__all__ = ["base_fingerprint", "model_fingerprint", "structure_fingerprint"]


def base_fingerprint(model: nn.Module, family: Family) -> str:
    """`sha256:...` over the tensors of the base model, without head and pooler.

    A head may be initialised anew whenever the base is opened, and a delta has its own.

    Args:
        model: with a head.
        family: gives the names of the head's modules.
    """
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    tensors: dict[str, Tensor] = dict(model.state_dict())
    heads = set(family.head_modules)
    return _digest(
        (name, tensor)
        for name, tensor in sorted(tensors.items())
        if name.startswith(prefix) and not set(name.split(".")) & heads
    )


def model_fingerprint(model: nn.Module) -> str:
    """`sha256:...` over all tensors of the model, its head among them."""
    return _digest(sorted(model.state_dict().items()))


def structure_fingerprint(bundle: Bundle) -> str:
    """`sha256:...` over the parameters' names, shapes and `requires_grad`, and the masks, without the weights."""
    whole = hashlib.sha256()
    for name, parameter in bundle.model.named_parameters():
        whole.update(f"{name}\0{tuple(parameter.shape)}\0{parameter.requires_grad}\n".encode())
    for name, mask in sorted(bundle.masks.items()):
        whole.update(f"{name}\0".encode() + pack(mask).numpy().tobytes())
    return f"sha256:{whole.hexdigest()}"


def _digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    whole = hashlib.sha256()
    for name, tensor in tensors:
        value = tensor.detach().cpu().contiguous()
        whole.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\n".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()}"
