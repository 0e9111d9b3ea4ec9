"""Linears with quantized storage: quantizing, counting and dequantizing them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.low_bit.eight_bit import eight_bit
from compress.core.low_bit.four_bit import four_bit
from compress.core.low_bit.linear import HalfLinear, Storage, StoredLinear
from compress.core.model.matrix import is_transposed, matrix
from compress.core.model.wrapping import put, unwrapped

__all__ = [
    "dense_weight",
    "nonzero_count",
    "parameter_count",
    "plain",
    "storage_of",
    "store",
    "stored",
    "stored_bytes",
    "stored_linears",
]


def stored(linear: nn.Module, storage: Storage, *, double: bool = True) -> nn.Module:
    """A linear with the same bias whose weight is stored in `storage`; on the meta device its shape alone.

    Args:
        linear: an `nn.Linear` or a Conv1D.
        storage: data type of the weight: `bf16`, `int8`, `nf4` or `fp4`.
        double: for 4 bits, store the scales themselves in 8 bits: 0.127 instead of 0.5 bits for each weight.
    """
    weight, bias = matrix(linear).detach(), getattr(linear, "bias", None)
    new: Any
    if storage == "bf16":
        new = HalfLinear(weight, bias)
    elif storage == "int8":
        new = eight_bit(weight, bias)
    else:
        new = four_bit(weight, bias, storage=storage, double=double)
    new.transposed = is_transposed(linear)
    return new.train(linear.training)


def plain(linear: Any) -> nn.Module:
    """The `nn.Linear`, or Conv1D, with the dequantized fp32 weight and the same bias."""
    from transformers.pytorch_utils import Conv1D

    weight = linear.dense(torch.float32)
    outputs, inputs = weight.shape
    with torch.device("meta"):
        new: Any = Conv1D(outputs, inputs) if linear.transposed else nn.Linear(inputs, outputs, bias=False)
    new.weight = nn.Parameter(weight.T.contiguous() if linear.transposed else weight.clone())
    new.bias = linear.bias
    return new.train(linear.training)


def store(model: nn.Module, linears: list[nn.Module], storage: Storage, *, double: bool = True) -> None:
    """Replace each of `linears` by one with quantized storage, in place.

    Args:
        model: that has them.
        linears: modules of the model.
        storage: data type of the weights.
        double: for 4 bits, double quantization of the scales.
    """
    for linear in linears:
        put(model, linear, stored(linear, storage, double=double))


def stored_linears(model: nn.Module) -> dict[str, Any]:
    """Path -> every linear of `model` with quantized storage."""
    return {path: module for path, module in model.named_modules() if isinstance(module, StoredLinear)}


def storage_of(model: nn.Module) -> Storage | Literal["fp32"]:
    """Data type of the linears of `model`; `fp32` where none is stored in fewer bits.

    Raises:
        StageFailed: some are stored in one way and some in another.
    """
    found = sorted({linear.storage for linear in stored_linears(model).values()})
    if len(found) > 1:
        raise StageFailed("the linears of the model are stored in several ways", given=found)
    return found[0] if found else "fp32"


def dense_weight(module: nn.Module) -> Tensor:
    """(out, in) in fp32: the weight that a linear computes with, dequantized, without adapters around it."""
    linear: Any = unwrapped(module)
    return linear.dense(torch.float32) if isinstance(linear, StoredLinear) else matrix(linear).detach().float()


def parameter_count(model: nn.Module) -> int:
    """Number of parameters, each tensor once; two that are packed in a byte are two."""
    return sum(_sizes(model).values())


def nonzero_count(model: nn.Module) -> int:
    """Number of parameters that are not zero, each tensor once."""
    packed = {id(linear.weight): linear for linear in stored_linears(model).values()}
    unique = {id(parameter): parameter for parameter in model.parameters()}
    return sum(
        int((dense_weight(packed[key]) if key in packed else parameter).count_nonzero())
        for key, parameter in unique.items()
    )


def stored_bytes(model: nn.Module) -> int:
    """Bytes of the parameters as stored, with the scales and code tables of quantized ones; each tensor once."""
    unique = {id(parameter): parameter for parameter in model.parameters()}
    tensors = [*unique.values(), *(t for linear in stored_linears(model).values() for t in linear.beside().values())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _sizes(model: nn.Module) -> dict[int, int]:
    """id of each parameter -> its number of weights, packed or not."""
    sizes = {id(parameter): parameter.numel() for parameter in model.parameters()}
    for linear in stored_linears(model).values():
        sizes[id(linear.weight)] = linear.in_features * linear.out_features
    return sizes
