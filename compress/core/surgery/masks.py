"""The cut of a model's masks, in the way in which the model is cut."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from compress.core.model.bundle import Bundle
from compress.core.model.masks import masked_parameters

__all__ = ["cut_with_masks"]

NONE = 2.0
"""Stands for a weight that no mask covers."""


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
            n: p.data.bool().to(bundle.mask_device) for n, p in twin.named_parameters() if float(p.max()) < NONE
        }


def _marked(bundle: Bundle) -> nn.Module:
    """A copy of the model with masks in place of weights, and `NONE` where there is no mask."""
    memo = {id(t): nn.Parameter(torch.full(t.shape, NONE)) for t in bundle.model.parameters()}
    twin = copy.deepcopy(bundle.model, memo)
    for name, parameter in masked_parameters(twin, bundle.masks):
        parameter.copy_(bundle.masks[name])
    return twin
