"""Structured surgery of a model together with its pruning masks."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from compress.core.model.bundle import Bundle
from compress.core.model.masks import masked_parameters

__all__ = ["cut_with_masks"]

NONE = 2.0
"""The value in place of a weight without a mask."""


@torch.no_grad()
def cut_with_masks(bundle: Bundle, cut: Callable[[nn.Module], None]) -> None:
    """Run a surgery on the bundle's model in place, and apply it to its masks.

    The surgery runs again on a copy of the model that has the masks as weights, ones and zeros: its parameters are then
    the new masks, under the names that the weights have afterwards.

    Args:
        bundle: changed in place.
        cut: removes layers, heads or other parts of the model that it is given.
    """
    twin = _marked(bundle) if bundle.masks else None
    cut(bundle.model)
    if twin is not None:
        cut(twin)
        bundle.masks = {
            n: p.data.bool().to(bundle.mask_device) for n, p in twin.named_parameters() if float(p.max()) < NONE
        }


def _marked(bundle: Bundle) -> nn.Module:
    """A copy of the model with masks in place of weights, and `NONE` where there is no mask."""
    memo = {id(t): nn.Parameter(torch.full(t.shape, NONE)) for t in bundle.model.parameters()}
    twin = copy.deepcopy(bundle.model, memo)
    for name, parameter in masked_parameters(twin, bundle.masks):
        parameter.copy_(bundle.masks[name])
    return twin
