"""Masks of weights: True where a weight stays. Whatever a mask cuts is zero, and stays zero in every training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.model.wrapping import unwrapped
from compress.core.storage.linear import StoredLinear

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = ["Masks", "apply_masks", "cut_with_masks", "evenly", "masked_parameters", "pack", "place_of_masks", "unpack"]

NONE = 2.0
"""Stands for a weight that no mask covers."""
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


@torch.no_grad()
def cut_with_masks(bundle: Bundle, cut: Callable[[nn.Module], None]) -> None:
    """Run `cut` on the bundle's model in place, and cut its masks in the same way.

    The same surgery runs on a copy of the model that holds ones and zeros for weights: what it leaves are the masks,
    under the names that the weights have afterwards.
    """
    twin = _marked(bundle) if bundle.masks else None
    cut(bundle.model)
    if twin is not None:
        cut(twin)
        bundle.masks = {
            n: p.data.bool().to(place_of_masks(bundle)) for n, p in twin.named_parameters() if float(p.max()) < NONE
        }


def _marked(bundle: Bundle) -> nn.Module:
    """A copy of the model with masks in place of weights, and `NONE` where there is no mask."""
    memo = {id(t): nn.Parameter(torch.full(t.shape, NONE)) for t in bundle.model.parameters()}
    twin = copy.deepcopy(bundle.model, memo)
    for name, parameter in masked_parameters(twin, bundle.masks):
        parameter.copy_(bundle.masks[name])
    return twin


def place_of_masks(bundle: Bundle) -> torch.device:
    """Where masks are: on the CPU where the model has no weights."""
    return torch.device("cpu") if bundle.device.type == "meta" else bundle.device


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


def _parameter(model: nn.Module, owner: str, attribute: str) -> nn.Parameter | None:
    try:
        found = getattr(unwrapped(model.get_submodule(owner)), attribute, None)
    except AttributeError:
        return None
    return found if isinstance(found, nn.Parameter) else None


def packed_away(model: nn.Module, owner: str) -> bool:
    """Whether the module at this path stores its weight in fewer bits."""
    return isinstance(unwrapped(model.get_submodule(owner)), StoredLinear)
