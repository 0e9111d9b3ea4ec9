"""LLM.int8: linears in int8, with one scale for each output.  Dettmers et al. 2022, arXiv 2208.07339, section 3."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.low_bit.linear import Storage, StoredLinear, gradients_of
from compress.core.low_bit.package import bitsandbytes

__all__ = ["THRESHOLD", "eight_bit", "eight_bit_of"]

THRESHOLD = 6.0
"""Outlier threshold: input features with a value of at least this magnitude are not quantized."""


class EightBit(StoredLinear):
    """Int8 linear: W = codes * scale / 127, with one scale for each output."""

    storage: Storage = "int8"

    def dense(self, dtype: torch.dtype) -> Tensor:
        if self.weight.is_meta:
            return torch.empty(self.weight.shape, dtype=dtype, device="meta")
        return self.weight.data.to(dtype).mul_(self.weight.SCB.mul(1 / 127).unsqueeze(1))

    def beside(self) -> dict[str, Tensor]:
        scales = torch.empty(self.out_features, device="meta") if self.weight.is_meta else self.weight.SCB
        return {"SCB": scales}

    def answer(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        """LLM.int8 in evaluation and on a GPU; in training on a CPU the dequantized weight, faster and exact."""
        if self.weight.is_meta or (self.training and rows.device.type == "cpu"):
            return super().answer(rows, bias)
        return _Int8Product.apply(rows, bias, self)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[misc]
        if not self.weight.is_meta:
            self.weight.CB, self.weight.SCB = None, self.weight.SCB.to(self.weight.device)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        nn.Module._save_to_state_dict(self, destination, prefix, keep_vars)  # type: ignore[arg-type]
        destination[f"{prefix}SCB"] = self.beside()["SCB"]
        destination[f"{prefix}weight_format"] = torch.tensor(0, dtype=torch.uint8)

    def _load_from_state_dict(self, state: Any, prefix: str, *others: Any) -> None:
        rest = {name: value for name, value in state.items() if name not in _int8_names(prefix)}
        nn.Module._load_from_state_dict(self, rest, prefix, *others)  # type: ignore[arg-type]
        if f"{prefix}SCB" in state:
            self.weight.SCB.copy_(state[f"{prefix}SCB"])


def _int8_names(prefix: str) -> tuple[str, str]:
    return f"{prefix}SCB", f"{prefix}weight_format"


class _Int8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, bias: Tensor | None, layer: EightBit) -> Tensor:
        ctx.dense = layer.dense
        ops, weight = torch.ops.bitsandbytes, layer.weight.data
        codes, scales, outliers = ops.int8_vectorwise_quant(rows.to(torch.float16), THRESHOLD)
        output, _ = ops.int8_mixed_scaled_mm(rows, codes, weight, scales, layer.weight.SCB, outliers, bias)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        return gradients_of(ctx, gradients[0])


def eight_bit(weight: Tensor, bias: nn.Parameter | None) -> Any:
    """A linear with this weight, quantized to int8. Rows of zeros stay zero; on the meta device shapes alone.

    Args:
        weight: (out, in).
        bias: (out,), kept as it is.
    """
    return _layer(_rounded(weight), bias)


def eight_bit_of(theirs: Any) -> Any:
    """A linear with a copy of the weight of a bitsandbytes linear, and the same bias."""
    weight = theirs.weight
    if weight.is_meta:
        return eight_bit(weight.data, theirs.bias)
    return _layer(_parameter(weight.data.clone(), weight.SCB.clone()), theirs.bias)


def _rounded(weight: Tensor) -> Any:
    if weight.is_meta:
        return nn.Parameter(torch.empty_like(weight, dtype=torch.int8), requires_grad=False)
    # On the CPU, so that the codes are the same wherever they are used.
    codes, scales, _ = bitsandbytes().functional.int8_vectorwise_quant(weight.cpu().to(torch.float16))
    codes[scales == 0] = 0
    return _parameter(codes.to(weight.device), scales.to(weight.device))


def _parameter(codes: Tensor, scales: Tensor) -> Any:
    return bitsandbytes().nn.Int8Params(codes, requires_grad=False, has_fp16_weights=False, SCB=scales)


def _layer(weight: Any, bias: nn.Parameter | None) -> Any:
    outputs, inputs = weight.shape
    layer = _class()(inputs, outputs, bias=False, has_fp16_weights=False, threshold=THRESHOLD, device="meta")
    layer.weight, layer.bias = weight, bias
    return layer


@cache
def _class() -> Any:
    return type("Linear8bitLt", (EightBit, bitsandbytes().nn.Linear8bitLt), {"__module__": __name__})
