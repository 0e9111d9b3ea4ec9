"""Masks of weights: True where a weight stays. Whatever a mask cuts is zero, and stays zero in every training."""

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

    Where an adapter stands around a linear, the weight is found behind it. One that is stored in fewer bits is passed
    over: it cannot move, its zeros stay zeros, and it may lie in another order than its mask.

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
    """Make every weight that a mask cuts zero, in place; on the meta device nothing happens.

    Twice is as once: w = w where the mask is True, else 0.
    """
    for name, parameter in masked_parameters(model, masks):
        if parameter.device.type != "meta":
            parameter.masked_fill_(~masks[name].to(parameter.device), 0)


def pack(mask: Bool[Tensor, "..."]) -> UInt8[Tensor, " bytes"]:
    """Eight to a byte, the first in the highest bit; the last byte is filled up with zeros."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def unpack(bits: UInt8[Tensor, " bytes"], shape: Sequence[int]) -> Bool[Tensor, "..."]:
    """What `pack` packed."""
    return torch.from_numpy(np.unpackbits(bits.cpu().numpy(), count=prod(shape)).view(bool)).reshape(tuple(shape))


def evenly(shape: Sequence[int], kept: int) -> Bool[Tensor, "..."]:
    """A mask that keeps exactly `kept` of its weights, as far apart as they go: a guess without scores."""
    size = prod(shape)
    ends = torch.arange(1, size + 1) * kept // size
    return (ends.diff(prepend=torch.zeros(1, dtype=ends.dtype)) > 0).reshape(tuple(shape))


def compactable(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape, of the masked weights that a file holds as bits and values: those that the model owns under the
    name, in floating point. Others lie there densely."""
    own = dict(model.named_parameters())
    return {
        name: tuple(parameter.shape)
        for name, parameter in masked_parameters(model, masks)
        if own.get(name) is parameter and parameter.dtype.is_floating_point
    }


def compact_bytes(kept: int, weights: int, element: int) -> int:
    """Bytes of one masked weight in a file.

    Args:
        kept: how many values stay.
        weights: how many there are.
        element: bytes of one value.
    """
    return -(-weights // 8) + kept * element


def saved_bytes(model: nn.Module, masks: Mapping[str, Tensor]) -> int:
    """How much smaller than dense the file is."""
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
    """Whether the module at this path stores its weight in fewer bits."""
    return isinstance(unwrapped(model.get_submodule(owner)), StoredLinear)
