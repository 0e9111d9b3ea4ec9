"""Stores the linears of a model's blocks in fewer bits, frozen, and makes them plain again."""

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
    """Every linear of the family's blocks keeps its weight in fewer bits, and is frozen; biases stay as they are.

    The head, the pooler and the tables of embeddings stay fp32: they are trained, or small in every batch, and a model
    whose first tensor is not fp32 would make its masks in that type. So does what the architecture itself keeps in
    fp32 (T5's second feed-forward linear). The model then has the state `quantized`.

    int8 is LLM.int8 with its threshold of 6 (Dettmers et al. 2022, arXiv 2208.07339, section 3); nf4 and fp4 are in
    blocks of 64, with scales in 8 bits where `double` (Dettmers et al. 2023, arXiv 2305.14314, section 3).
    """

    storage: Storage = Field(description="how the weights are stored")
    double: bool = Field(True, description="4 bits: the scales are quantized too, in blocks of 256")

    def forbids(self, sketch: Sketch) -> frozenset[State]:
        """States of a model that cannot be stored so: few bits round once, each linear by itself, and what is plain."""
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
    """The bundle with plain linears in fp32, changed in place; the rounding stays, the state `quantized` goes."""
    for linear in stored_linears(bundle.model).values():
        put(bundle.model, linear, plain(linear))
    bundle.states = bundle.states - {"quantized"}
    return bundle


def stored_as(bundle: Bundle) -> StoreLinears | None:
    """The change that stores linears as those of the bundle are stored; None where all are plain."""
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
