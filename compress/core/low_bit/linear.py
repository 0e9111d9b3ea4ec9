"""Weight-only quantization: linears whose frozen weight is stored in fewer bits than it is computed with."""

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
    """Linear with quantized storage: a base beside `nn.Linear` that dequantizes the weight in each forward pass.

    It computes in the type of its input, or in autocast's where that is on, as `nn.Linear` does: in training bf16 where
    the hardware supports it, and in fp32 the outputs of a dense linear with the same weights. Its bias is an fp32
    parameter, which no forward pass converts.

    Attributes:
        storage: data type of the stored weight.
        transposed: the linear that it replaced stored (in, out), as transformers' Conv1D does.
    """

    storage: Storage
    transposed: bool = False
    # Attributes of nn.Linear.
    in_features: int
    out_features: int
    weight: Any
    bias: Any
    training: bool

    def dense(self, dtype: torch.dtype) -> Tensor:
        """(out, in): the dequantized weight."""
        raise NotImplementedError

    def beside(self) -> dict[str, Tensor]:
        """Tensors that dequantization needs (scales, code tables), by name in a file."""
        return {}

    def forward(self, input: Tensor) -> Tensor:
        dtype = working_type(input)
        bias = None if self.bias is None else self.bias.to(dtype)
        # In rows: the output of a custom function must be a view, since models (DeBERTa) may change it in place.
        rows = self.answer(input.to(dtype).reshape(-1, self.in_features), bias)
        return rows.reshape(*input.shape[:-1], self.out_features)

    def answer(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        """rows W^T + bias.

        Args:
            rows: (rows, in).
            bias: (out,) in the type of the rows, or None.
        """
        return product(rows, bias, self.dense)


class HalfLinear(StoredLinear, nn.Linear):
    """bf16 linear: half the bytes of fp32, with 8 bits of precision and the same range."""

    storage: Storage = "bf16"

    def __init__(self, weight: Tensor, bias: nn.Parameter | None):
        outputs, inputs = weight.shape
        nn.Linear.__init__(self, inputs, outputs, bias=False, device="meta")
        self.weight = nn.Parameter(weight.to(torch.bfloat16).contiguous(), requires_grad=False)
        self.bias = bias

    def dense(self, dtype: torch.dtype) -> Tensor:
        return self.weight.data.to(dtype)


def working_type(input: Tensor) -> torch.dtype:
    """The type in which a linear computes: the input's, or autocast's where that is on."""
    kind = input.device.type
    if kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return input.dtype


def product(rows: Tensor, bias: Tensor | None, dense: Dense) -> Tensor:
    """rows W^T + bias, for a dequantized W that is not kept: backward dequantizes it again.

    Args:
        rows: (rows, in).
        bias: (out,), or None.
        dense: data type -> W (out, in).
    """
    return _Product.apply(rows, bias, dense)


def gradients_of(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    """Gradients of rows and bias in a product with `ctx.dense`, where they are needed.

    Args:
        ctx: of the autograd function.
        gradient: of the output, (rows, out).
    """
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
