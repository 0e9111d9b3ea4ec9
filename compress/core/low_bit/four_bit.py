"""NF4 and FP4: linears in 4 bits, in blocks of 64 weights.  Dettmers et al. 2023, arXiv 2305.14314, section 3."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.low_bit.linear import Storage, StoredLinear
from compress.core.low_bit.package import bitsandbytes

__all__ = ["FourBit", "four_bit", "four_bit_of"]

BLOCK, NESTED_BLOCK = 64, 256
"""Weights that share a scale, and scales that share a second one (double quantization)."""
LEVELS, NESTED_LEVELS = 16, 256


class FourBit(StoredLinear):
    """4-bit linear: W = level[code] * scale of the block of 64, with blocks over the flattened matrix.

    So sizes need not be multiples of 64; a matrix of odd size wastes half a byte.
    """

    doubled: bool
    block: int = BLOCK

    def dense(self, dtype: torch.dtype) -> Tensor:
        shape = (self.out_features, self.in_features)
        if self.weight.is_meta:
            return torch.empty(shape, dtype=dtype, device="meta")
        state, packed = self.weight.quant_state, self.weight.data
        scales = state.absmax
        if state.nested:
            scales = bitsandbytes().functional.dequantize_blockwise(scales, state.state2) + state.offset
        # As one row, which is even: for odd rows the kernel is compiled when it is first used, and for rows that are no
        # multiple of 64 long the CPU's reads wrong scales (see `misread`).
        row = (1, 2 * packed.numel())
        flat = torch.ops.bitsandbytes.dequantize_4bit(packed, scales, self.block, self.storage, row, dtype)
        return flat.view(-1)[: shape[0] * shape[1]].view(shape)

    def beside(self) -> dict[str, Tensor]:
        if self.weight.is_meta:
            return self._empty()
        state = self.weight.quant_state
        found = {"absmax": state.absmax, "quant_map": state.code}
        if state.nested:
            found |= {"nested_absmax": state.state2.absmax, "nested_quant_map": state.state2.code}
        return {f"weight.{name}": tensor for name, tensor in found.items()}

    def _empty(self) -> dict[str, Tensor]:
        blocks = -(-self.out_features * self.in_features // self.block)
        with torch.device("meta"):
            found = {"absmax": torch.empty(blocks), "quant_map": torch.empty(LEVELS)}
            if self.doubled:
                found["absmax"] = found["absmax"].to(torch.uint8)
                found["nested_absmax"] = torch.empty(-(-blocks // NESTED_BLOCK))
                found["nested_quant_map"] = torch.empty(NESTED_LEVELS)
        return {f"weight.{name}": tensor for name, tensor in found.items()}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        nn.Module._save_to_state_dict(self, destination, prefix, keep_vars)  # type: ignore[arg-type]
        shape = [self.out_features, self.in_features]
        plain: dict[str, Any] = {
            "quant_type": self.storage,
            "blocksize": self.block,
            "dtype": "float32",
            "shape": shape,
        }
        if self.doubled:
            offset = 0.12345678901234567 if self.weight.is_meta else self.weight.quant_state.offset.item()
            plain |= {"nested_blocksize": NESTED_BLOCK, "nested_dtype": "float32", "nested_offset": offset}
        text = torch.tensor(list(json.dumps(plain).encode()), dtype=torch.uint8)
        tensors = {**self.beside(), f"weight.quant_state.bitsandbytes__{self.storage}": text}
        destination.update({f"{prefix}{name}": tensor for name, tensor in tensors.items()})

    def _load_from_state_dict(self, state: Any, prefix: str, *others: Any) -> None:
        start = f"{prefix}weight."
        beside = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
        rest = {name: value for name, value in state.items() if not name.startswith(start)}
        nn.Module._load_from_state_dict(self, rest, prefix, *others)  # type: ignore[arg-type]
        if beside:
            kind = bitsandbytes().functional.QuantState
            self.weight.quant_state = kind.from_dict(beside, device=self.weight.device)


def four_bit(weight: Tensor, bias: nn.Parameter | None, *, storage: Storage, double: bool) -> Any:
    """A linear with this weight, quantized to 4 bits; on the meta device shapes alone.

    Args:
        weight: (out, in).
        bias: (out,), kept as it is.
        storage: `nf4` or `fp4`.
        double: double quantization, of the scales to 8 bits.
    """
    return _layer(weight.shape, _rounded(weight, storage, double), bias, storage, double)


def four_bit_of(theirs: Any) -> Any:
    """A linear with a copy of the weight of a bitsandbytes linear, and the same bias."""
    weight, shape = theirs.weight, (theirs.out_features, theirs.in_features)
    storage, double = weight.quant_type, bool(weight.compress_statistics)
    if weight.is_meta:
        return four_bit(torch.empty(shape, device="meta"), theirs.bias, storage=storage, double=double)
    packed, state = weight.data.clone().view(torch.uint8), _own_state(weight.quant_state)
    layer = _layer(shape, _parameter(packed, state), theirs.bias, storage, double)
    layer.block = state.blocksize
    return layer


def _rounded(weight: Tensor, storage: Storage, double: bool) -> Any:
    if weight.is_meta:
        packed = torch.empty(-(-weight.numel() // 2), 1, dtype=torch.uint8, device="meta")
        return nn.Parameter(packed, requires_grad=False)
    # On the CPU, so that the codes are the same wherever they are used.
    packed, state = bitsandbytes().functional.quantize_4bit(
        weight.cpu().float().contiguous(), blocksize=BLOCK, compress_statistics=double, quant_type=storage
    )
    state.to(weight.device)
    return _parameter(packed.to(weight.device), state)


def _parameter(packed: Tensor, state: Any) -> Any:
    return bitsandbytes().nn.Params4bit(
        packed,
        requires_grad=False,
        quant_state=state,
        quant_type=state.quant_type,
        compress_statistics=state.nested,
        blocksize=state.blocksize,
        bnb_quantized=True,
    )


def _own_state(state: Any) -> Any:
    own = copy.copy(state)
    own.absmax, own.code = state.absmax.clone(), state.code.clone()
    if state.nested:
        own.offset, own.state2 = state.offset.clone(), _own_state(state.state2)
    return own


def _layer(shape: Any, weight: Any, bias: nn.Parameter | None, storage: Storage, double: bool) -> Any:
    outputs, inputs = shape
    layer = _class()(inputs, outputs, bias=False, quant_type=storage, device="meta")
    layer.weight, layer.bias = weight, bias
    layer.storage, layer.doubled, layer.support_avx512bf16_for_cpu = storage, double, False
    return layer


@cache
def _class() -> Any:
    return type("Linear4bit", (FourBit, bitsandbytes().nn.Linear4bit), {"__module__": __name__})
