"""What the tests of factorizing share."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.core.model.matrix import matrix
from compress.factorize.stage import Factorize

__all__ = ["factorize", "product_at", "product_or_weight", "weight_of"]


def factorize(what: str = "linears", **settings: Any) -> Factorize:
    rank = {"ratio": 0.5} if what == "linears" else 6
    return Factorize.model_validate({"what": what, "rank": rank, "recover": "none", **settings})


def weight_of(bundle: Bundle, path: str) -> torch.Tensor:
    return base_model(bundle.model).get_submodule(path).weight.detach()


def product_at(bundle: Bundle, path: str) -> torch.Tensor:
    """The matrix that the two factors there are."""
    low = base_model(bundle.model).get_submodule(path)
    return (low.expand.weight @ low.reduce.weight).detach()


def product_or_weight(module: nn.Module) -> torch.Tensor:
    """A copy of a linear's weight, (out, in)."""
    return matrix(module).detach().clone()
