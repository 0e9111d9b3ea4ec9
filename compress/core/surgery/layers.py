"""Takes parts out of a model, in place, on any device (the meta device too)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, base_model
from compress.core.model.matrix import is_transposed

__all__ = ["check_kept", "keep_entries", "keep_inputs", "keep_layers", "keep_outputs", "set_parameter"]


def keep_layers(model: nn.Module, family: Family, kept: tuple[int, ...]) -> None:
    """Leave the blocks `kept` (ascending) and take the others out; the configuration says so too.

    Raises:
        Refusal: the family's layers cannot be taken out, or its first block must stay.
        InputError: `kept` names no block, a block twice, or one that is not there.
    """
    family.require("layers", stage="keep_layers")
    blocks = family.module_list(model)
    check_kept(kept, of=len(blocks), what="layers")
    if family.needs_first_layer and kept[0] != 0:
        raise Refusal(
            f"the first layer of a {family.model_type} model must stay: {family.needs_first_layer}", given=kept
        )
    _set_blocks(model, blocks, kept)
    config: Any = base_model(model).config
    for field in filter(None, family.config.get("layer_lists", "").split(",")):
        setattr(config, field, [getattr(config, field)[index] for index in kept])
    setattr(config, family.config["layers"], len(kept))


def _set_blocks(model: nn.Module, blocks: nn.ModuleList, kept: tuple[int, ...]) -> None:
    left = [blocks[index] for index in kept]
    while len(blocks):
        del blocks[len(blocks) - 1]
    blocks.extend(left)
    for number, block in enumerate(left):
        for module in block.modules():
            # Decoders find their place in the cache by it.
            if isinstance(getattr(module, "layer_idx", None), int):
                setattr(module, "layer_idx", number)  # noqa: B010


def check_kept(kept: Sequence[int], *, of: int, what: str, where: str | None = None) -> None:
    """Raise `InputError` unless `kept` is ascending, within 0 to `of` - 1, and not empty."""
    if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= of:
        raise InputError(
            f"the {what} to keep are not ascending numbers from 0 to {of - 1}, at least one of them",
            where=where,
            given=tuple(kept),
        )


def set_parameter(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Replace a parameter by `tensor`; whether it is trained stays as it was."""
    old = getattr(module, name)
    setattr(module, name, nn.Parameter(tensor.detach().clone(), requires_grad=old.requires_grad))


def keep_outputs(module: Any, index: Tensor) -> None:
    """Leave the outputs `index` of a linear: rows of (out, in), and the bias with them."""
    dim = 1 if is_transposed(module) else 0
    set_parameter(module, "weight", module.weight.index_select(dim, index))
    if module.bias is not None:
        set_parameter(module, "bias", module.bias.index_select(0, index))
    setattr(module, "nf" if is_transposed(module) else "out_features", len(index))


def keep_inputs(module: Any, index: Tensor) -> None:
    """Leave the inputs `index` of a linear: columns of (out, in)."""
    dim = 0 if is_transposed(module) else 1
    set_parameter(module, "weight", module.weight.index_select(dim, index))
    setattr(module, "nx" if is_transposed(module) else "in_features", len(index))


def keep_entries(table: nn.Embedding, index: Tensor) -> None:
    """Leave the columns `index` of an embedding (positions x heads)."""
    set_parameter(table, "weight", table.weight.index_select(1, index))
    table.embedding_dim = len(index)
