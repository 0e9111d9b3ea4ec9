"""Linears whose weight is stored in fewer bits than it is computed with, and frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["HalfLinear", "Storage", "StoredLinear", "gradients_of", "product"]

Storage = Literal["bf16", "int8", "nf4", "fp4"]
Dense = Callable[[torch.dtype], Tensor]


class StoredLinear:
    """What every stored linear is besides an `nn.Linear`: one that makes its weight dense when it needs it.

    It works in the type of its input, or in autocast's where that is on, as `nn.Linear` does: so it trains in bf16
    where the hardware is fast with it, and answers in fp32 with what the same weights give as a plain linear. Its bias
    is a parameter of its own type, fp32, which no forward pass converts.

    Attributes:
        storage: how the weight is stored.
        transposed: the linear that it replaced stored (in, out), as transformers' Conv1D does.
    """

    storage: Storage
    transposed: bool = False
    # What nn.Linear brings.
    in_features: int
    out_features: int
    weight: Any
    bias: Any
    training: bool

    def dense(self, dtype: torch.dtype) -> Tensor:
        """(out, in): the weight that is computed with."""
        raise NotImplementedError

    def beside(self) -> dict[str, Tensor]:
        """What the stored weight needs to become dense (scales, tables), by its name in a file."""
        return {}

    def forward(self, input: Tensor) -> Tensor:
        dtype = working_type(input)
        bias = None if self.bias is None else self.bias.to(dtype)
        # In rows, because what a custom function answers may be changed in place (DeBERTa does) unless it is a view.
        rows = self.answer(input.to(dtype).reshape(-1, self.in_features), bias)
        return rows.reshape(*input.shape[:-1], self.out_features)

    def answer(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        """The product of (rows, in) with the weight, in the type of both arguments."""
        return product(rows, bias, self.dense)


class HalfLinear(StoredLinear, nn.Linear):
    """The weight in bf16: half the bytes of fp32, with 8 bits of precision and its whole range."""

    storage: Storage = "bf16"

    def __init__(self, weight: Tensor, bias: nn.Parameter | None):
        outputs, inputs = weight.shape
        nn.Linear.__init__(self, inputs, outputs, bias=False, device="meta")
        self.weight = nn.Parameter(weight.to(torch.bfloat16).contiguous(), requires_grad=False)
        self.bias = bias

    def dense(self, dtype: torch.dtype) -> Tensor:
        return self.weight.data.to(dtype)


def working_type(input: Tensor) -> torch.dtype:
    """The type that a linear computes in now: the input's, or autocast's."""
    kind = input.device.type
    if kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return input.dtype


def product(rows: Tensor, bias: Tensor | None, dense: Dense) -> Tensor:
    """rows dense^T + bias. Backward makes the weight dense once more; in between, none is kept."""
    return _Product.apply(rows, bias, dense)


def gradients_of(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    """Those of rows and bias in a product with `ctx.dense`, where they are needed."""
    rows = gradient @ ctx.dense(gradient.dtype) if ctx.needs_input_grad[0] else None
    return rows, gradient.sum(0) if ctx.needs_input_grad[1] else None, None


class _Product(torch.autograd.Function):
    # The graph of `functional.linear` on a converted weight would keep that, in full size, until backward.

    @staticmethod
    def forward(ctx: Any, rows: Tensor, bias: Tensor | None, dense: Dense) -> Tensor:
        ctx.dense = dense
        return functional.linear(rows, dense(rows.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        return gradients_of(ctx, gradients[0])
