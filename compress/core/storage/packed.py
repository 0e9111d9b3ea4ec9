"""Linears of bitsandbytes: int8 with a scale per output (LLM.int8), NF4 and FP4 in blocks of 64.

They are subclasses of bitsandbytes' own, so that whoever knows those (PEFT, transformers) knows them, and their state
is stored under the same names. What differs, in 0.50: a forward pass of theirs converts the bias to the type of its
input, for good; on CPUs with AVX-512 BF16 `Linear4bit` packs its weight anew in evaluation, and gradients stop there in
every later training step; the int8 product keeps its input for backward, and logs a warning at each call; a deep copy
holds on to the layer that it was made of.
"""

from __future__ import annotations

import json
import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.optional import optional
from compress.core.storage.linear import Storage, StoredLinear, bias_gradient

__all__ = ["BLOCK", "THRESHOLD", "bitsandbytes", "four_bit_linear", "int8_linear", "pack_four_bits", "pack_int8"]

THRESHOLD = 6.0
"""Inputs from here on are outliers, whose columns are not quantized.  Dettmers et al. 2022, arXiv 2208.07339."""
BLOCK, NESTED_BLOCK = 64, 256
"""Weights with one scale, and scales with one scale.  Dettmers et al. 2023, arXiv 2305.14314, section 3."""
LEVELS, NESTED_LEVELS = 16, 256


def bitsandbytes() -> Any:
    """The package, or `MissingPackage`."""
    # It complains of an optional kernel when it is imported.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.CRITICAL)
    found = optional("bitsandbytes", extra="", purpose="storing linears in 8 or 4 bits")
    _count_flops()
    return found


@cache
def _count_flops() -> None:
    """Let torch's counter take the int8 product for the dense one."""
    from torch.utils.flop_counter import register_flop_formula

    def dense(input: Any, codes: Any, weight: Any, *others: Any, **settings: Any) -> int:
        rows, inputs = input
        return 2 * rows * inputs * weight[0]

    register_flop_formula(torch.ops.bitsandbytes.int8_mixed_scaled_mm)(dense)


class EightBit(StoredLinear):
    """codes * scale / 127, with one scale for each output."""

    storage: Storage = "int8"

    def dense(self, dtype: torch.dtype) -> Tensor:
        if self.weight.is_meta:
            return torch.empty(self.weight.shape, dtype=dtype, device="meta")
        return self.weight.data.to(dtype).mul_(self.weight.SCB.mul(1 / 127).unsqueeze(1))

    def beside(self) -> dict[str, Tensor]:
        scales = torch.empty(self.out_features, device="meta") if self.weight.is_meta else self.weight.SCB
        return {"SCB": scales}

    def answer(self, input: Tensor, bias: Tensor | None) -> Tensor:
        """LLM.int8 in evaluation and on a GPU; training on a CPU is faster, and exact, on the dense weight."""
        if self.weight.is_meta or (self.training and input.device.type == "cpu"):
            return super().answer(input, bias)
        return _Int8Product.apply(input, bias, self)

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
    def forward(ctx: Any, input: Tensor, bias: Tensor | None, layer: EightBit) -> Tensor:
        ctx.dense = layer.dense
        rows = input.reshape(-1, input.shape[-1])
        ops, weight = torch.ops.bitsandbytes, layer.weight.data
        codes, scales, outliers = ops.int8_vectorwise_quant(rows.to(torch.float16), THRESHOLD)
        output, _ = ops.int8_mixed_scaled_mm(rows, codes, weight, scales, layer.weight.SCB, outliers, bias)
        return output.reshape(*input.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        towards_input = gradient @ ctx.dense(gradient.dtype) if ctx.needs_input_grad[0] else None
        return towards_input, bias_gradient(gradient) if ctx.needs_input_grad[1] else None, None


class FourBit(StoredLinear):
    """level[code] * scale of its block of 64, over the rows of the matrix one after the other.

    So widths need be no multiple of 64, and a matrix of odd size has half a byte to spare.
    """

    double: bool
    block: int = BLOCK

    def dense(self, dtype: torch.dtype) -> Tensor:
        shape = (self.out_features, self.in_features)
        if self.weight.is_meta:
            return torch.empty(shape, dtype=dtype, device="meta")
        state, packed = self.weight.quant_state, self.weight.data
        scales = state.absmax
        if state.nested:
            scales = bitsandbytes().functional.dequantize_blockwise(scales, state.state2) + state.offset
        # As one row, which is even: the kernel for odd rows is compiled when it is first used.
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
            if self.double:
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
        if self.double:
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


@cache
def _int8_class() -> Any:
    return type("Linear8bitLt", (EightBit, bitsandbytes().nn.Linear8bitLt), {"__module__": __name__})


@cache
def _four_bit_class() -> Any:
    return type("Linear4bit", (FourBit, bitsandbytes().nn.Linear4bit), {"__module__": __name__})


def int8_linear(inputs: int, outputs: int, weight: Any, bias: nn.Parameter | None) -> Any:
    """A linear with a weight that `pack_int8` made, or an int8 one on the meta device."""
    layer = _int8_class()(inputs, outputs, bias=False, has_fp16_weights=False, threshold=THRESHOLD, device="meta")
    layer.weight, layer.bias = weight, bias
    return layer


def four_bit_linear(
    inputs: int, outputs: int, weight: Any, bias: nn.Parameter | None, *, storage: Storage, double: bool
) -> Any:
    """A linear with a weight that `pack_four_bits` made, or a packed one on the meta device."""
    layer = _four_bit_class()(inputs, outputs, bias=False, quant_type=storage, device="meta")
    layer.weight, layer.bias = weight, bias
    layer.storage, layer.double, layer.support_avx512bf16_for_cpu = storage, double, False
    return layer


def pack_int8(weight: Tensor) -> Any:
    """The weight as codes with a scale for each row. A row of zeros stays one."""
    if weight.is_meta:
        return nn.Parameter(torch.empty_like(weight, dtype=torch.int8), requires_grad=False)
    codes, scales, _ = bitsandbytes().functional.int8_vectorwise_quant(weight.cpu().to(torch.float16))
    codes[scales == 0] = 0
    kind, device = bitsandbytes().nn.Int8Params, weight.device
    return kind(codes.to(device), requires_grad=False, has_fp16_weights=False, SCB=scales.to(device))


def pack_four_bits(weight: Tensor, *, storage: Storage, double: bool) -> Any:
    """The weight as two codes in a byte. Packed on the CPU, so that it is the same wherever it is used."""
    if weight.is_meta:
        packed = torch.empty(-(-weight.numel() // 2), 1, dtype=torch.uint8, device="meta")
        return nn.Parameter(packed, requires_grad=False)
    quantize, kind = bitsandbytes().functional.quantize_4bit, bitsandbytes().nn.Params4bit
    packed, state = quantize(
        weight.cpu().float().contiguous(), blocksize=BLOCK, compress_statistics=double, quant_type=storage
    )
    state.to(weight.device)
    settings = {"quant_type": storage, "compress_statistics": double, "blocksize": BLOCK, "bnb_quantized": True}
    return kind(packed.to(weight.device), requires_grad=False, quant_state=state, **settings)
