"""Pruning masks of weights: True where a weight is kept. A pruned weight is zero, and stays zero in every training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.low_bit.linear import StoredLinear
from compress.core.model.wrapping import unwrapped

__all__ = [
    "Masks",
    "apply_masks",
    "compact_bytes",
    "compactable",
    "evenly",
    "masked_parameters",
    "pack",
    "saved_bytes",
    "unpack",
]

Masks = dict[str, Tensor]
"""Name of a parameter -> boolean tensor of its shape, True where kept."""


def masked_parameters(model: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[tuple[str, nn.Parameter]]:
    """(name in `masks`, the parameter), of all that hold numbers of the mask's shape.

    Where an adapter wraps a linear, the weight is that of the linear inside. A quantized weight is skipped: it is
    frozen, its zeros stay zeros, and its packed layout differs from the mask's.

    Args:
        model: whose parameters the masks name.
        masks: name -> boolean tensor, True where kept.

    Raises:
        StageFailed: the model has no such parameter, or one of another shape.
    """
    for name, mask in masks.items():
        owner, _, attribute = name.rpartition(".")
        parameter = _parameter(model, owner, attribute)
        if parameter is not None and attribute == "weight" and packed_away(model, owner):
            continue
        if parameter is None or parameter.shape != mask.shape:
            shape = None if parameter is None else tuple(parameter.shape)
            raise StageFailed(f"the mask of {name} has the shape {tuple(mask.shape)}, its weight {shape}", given=name)
        yield name, parameter


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Zero every pruned weight in place: w = w where the mask is True, else 0. Idempotent; no effect on meta tensors.

    Args:
        model: whose parameters the masks name.
        masks: name -> boolean tensor, True where kept.
    """
    for name, parameter in masked_parameters(model, masks):
        if parameter.device.type != "meta":
            parameter.masked_fill_(~masks[name].to(parameter.device), 0)


def pack(mask: Bool[Tensor, "..."]) -> UInt8[Tensor, " bytes"]:
    """Pack a mask into bits, the first in the highest bit; the last byte is filled up with zeros."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def unpack(bits: UInt8[Tensor, " bytes"], shape: Sequence[int]) -> Bool[Tensor, "..."]:
    """Inverse of `pack`.

    Args:
        bits: of `pack`.
        shape: of the mask.
    """
    return torch.from_numpy(np.unpackbits(bits.cpu().numpy(), count=prod(shape)).view(bool)).reshape(tuple(shape))


def evenly(shape: Sequence[int], kept: int) -> Bool[Tensor, "..."]:
    """A mask without scores: it keeps exactly `kept` weights, evenly spaced.

    Args:
        shape: of the weight.
        kept: from 0 to the number of weights.
    """
    size = prod(shape)
    ends = torch.arange(1, size + 1) * kept // size
    return (ends.diff(prepend=torch.zeros(1, dtype=ends.dtype)) > 0).reshape(tuple(shape))


def compactable(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape, of the masked weights that a file holds as bits and kept values: floating point parameters that
    the model has under this name. Others are saved densely.

    Args:
        model: whose parameters the masks name.
        masks: name -> boolean tensor, True where kept.
    """
    own = dict(model.named_parameters())
    return {
        name: tuple(parameter.shape)
        for name, parameter in masked_parameters(model, masks)
        if own.get(name) is parameter and parameter.dtype.is_floating_point
    }


def compact_bytes(kept: int, weights: int, element: int) -> int:
    """Bytes of one masked weight in a file: a bit for each weight, and the kept values.

    Args:
        kept: number of kept weights.
        weights: number of weights.
        element: bytes of one weight.
    """
    return -(-weights // 8) + kept * element


def saved_bytes(model: nn.Module, masks: Mapping[str, Tensor]) -> int:
    """Bytes that the file has less than a dense one.

    Args:
        model: whose parameters the masks name.
        masks: name -> boolean tensor, True where kept.
    """
    own, total = dict(model.named_parameters()), 0
    for name in compactable(model, masks):
        size, element = own[name].numel(), own[name].element_size()
        total += size * element - compact_bytes(int(masks[name].sum()), size, element)
    return total


def _parameter(model: nn.Module, owner: str, attribute: str) -> nn.Parameter | None:
    try:
        found = getattr(unwrapped(model.get_submodule(owner)), attribute, None)
    except AttributeError:
        return None
    return found if isinstance(found, nn.Parameter) else None


def packed_away(model: nn.Module, owner: str) -> bool:
    """Whether the module at this path stores a quantized weight.

    Args:
        model: that has it.
        owner: path of the module.
    """
    return isinstance(unwrapped(model.get_submodule(owner)), StoredLinear)
