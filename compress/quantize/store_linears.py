"""Weight-only storage of the blocks' linears in 8 or 4 bits, frozen, and dequantization."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from compress.core.errors import Refusal
from compress.core.low_bit.linear import Storage
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.low_bit import plain, storage_of, store, stored_linears
from compress.core.model.matrix import is_transposed
from compress.core.model.sketch import Sketch
from compress.core.model.state import State, obstacles
from compress.core.model.wrapping import put

__all__ = ["StoreLinears", "stored_as", "to_dense"]


class StoreLinears(Change):
    """Quantized storage: the weight of every linear of the blocks is kept in fewer bits and frozen; biases stay.

    The head, the pooler and the embedding matrices stay fp32: they are trained, or few of their rows enter a batch, and
    a model whose first tensor is not fp32 would compute its attention masks in that type. So does what the architecture
    itself keeps in fp32 (T5's second feed-forward linear). The model then has the state `quantized`.

    int8 is LLM.int8 with its outlier threshold of 6; nf4 and fp4 have one scale for each block of 64 weights, itself in
    8 bits where `double` (double quantization).

    References:
        Dettmers et al. 2022, arXiv 2208.07339, section 3 (int8); Dettmers et al. 2023, arXiv 2305.14314, section 3
        (nf4, double quantization).
    """

    storage: Storage = Field(description="data type of the stored weights")
    double: bool = Field(True, description="4 bits: double quantization, of the scales in blocks of 256")

    def forbids(self, sketch: Sketch) -> frozenset[State]:
        """States of a model that cannot be stored so: dense linears, each with its own weight, are quantized once."""
        factors: frozenset[State] = frozenset({"factorized"} if sketch.has_factorized_linears else ())
        return factors | {"adapted", "quantized", "shared"}

    def apply(self, bundle: Bundle) -> Bundle:
        """The bundle, changed in place.

        Raises:
            Refusal: the model is quantized or adapted, or has no such linears.
            MissingPackage: 8 or 4 bits without bitsandbytes.
        """
        sketch = bundle.sketch()
        reason = next(obstacles(sketch.states, forbids=self.forbids(sketch)), None)
        linears = _linears(bundle)
        if reason or not linears:
            raise Refusal(
                f"the linears of this {bundle.family.model_type} model cannot be stored in {self.storage}: "
                f"{reason or 'its blocks have none'}"
            )
        store(bundle.model, linears, self.storage, double=self.double)
        bundle.states = bundle.states | {"quantized"}
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"storage": self.storage, **({"double": self.double} if self.storage in ("nf4", "fp4") else {})}


def to_dense(bundle: Bundle) -> Bundle:
    """Dequantization: fp32 linears in place; the rounding error stays, the state `quantized` is dropped."""
    for linear in stored_linears(bundle.model).values():
        put(bundle.model, linear, plain(linear))
    bundle.states = bundle.states - {"quantized"}
    return bundle


def stored_as(bundle: Bundle) -> StoreLinears | None:
    """The change that stores linears as those of the bundle are stored; None where all are fp32."""
    storage = storage_of(bundle.model)
    if storage == "fp32":
        return None
    first = next(iter(stored_linears(bundle.model).values()))
    return StoreLinears(storage=storage, double=getattr(first, "doubled", True))


def _linears(bundle: Bundle) -> list[nn.Module]:
    """The linears of the blocks, each once, without those that the architecture keeps in fp32."""
    kept = set(getattr(bundle.model, "_keep_in_fp32_modules", None) or ())
    found = [
        module
        for path, module in bundle.family.module_list(bundle.model).named_modules()
        if (type(module) is nn.Linear or is_transposed(module)) and not kept & set(path.split("."))
    ]
    return list({id(module): module for module in found}.values())
