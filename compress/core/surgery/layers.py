"""Removing layers of a model, and inputs and outputs of a linear; in place, on any device (the meta device too)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, base_model
from compress.core.model.matrix import is_transposed

__all__ = ["check_kept", "keep_entries", "keep_inputs", "keep_layers", "keep_outputs", "set_parameter"]


def keep_layers(model: nn.Module, family: Family, kept: tuple[int, ...]) -> None:
    """Keep some blocks and remove the others, in the configuration too.

    Args:
        model: changed in place.
        family: of the model.
        kept: indices of blocks, ascending from 0.

    Raises:
        Refusal: the family's layers cannot be removed, or its first block must stay.
        InputError: `kept` names no block, a block twice, or one that does not exist.
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
            # The index of a decoder's layer in the key-value cache.
            if isinstance(getattr(module, "layer_idx", None), int):
                setattr(module, "layer_idx", number)  # noqa: B010


def check_kept(kept: Sequence[int], *, of: int, what: str, where: str | None = None) -> None:
    """Raise `InputError` unless `kept` is ascending, within 0 to `of` - 1, and not empty.

    Args:
        kept: indices.
        of: number of units before.
        what: the units, in the plural.
        where: the block, for the message.
    """
    if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= of:
        raise InputError(
            f"the {what} to keep are not ascending numbers from 0 to {of - 1}, at least one of them",
            where=where,
            given=tuple(kept),
        )


def set_parameter(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Replace a parameter by a copy of `tensor`; `requires_grad` stays.

    Args:
        module: that has the parameter.
        name: of the parameter.
        tensor: of any shape.
    """
    old = getattr(module, name)
    setattr(module, name, nn.Parameter(tensor.detach().clone(), requires_grad=old.requires_grad))


def keep_outputs(module: Any, index: Tensor) -> None:
    """Keep some outputs of a linear: rows of (out, in), and of the bias.

    Args:
        module: a linear or transformers' Conv1D, changed in place.
        index: int64, of the kept outputs.
    """
    dim = 1 if is_transposed(module) else 0
    set_parameter(module, "weight", module.weight.index_select(dim, index))
    if module.bias is not None:
        set_parameter(module, "bias", module.bias.index_select(0, index))
    setattr(module, "nf" if is_transposed(module) else "out_features", len(index))


def keep_inputs(module: Any, index: Tensor) -> None:
    """Keep some inputs of a linear: columns of (out, in).

    Args:
        module: a linear or transformers' Conv1D, changed in place.
        index: int64, of the kept inputs.
    """
    dim = 0 if is_transposed(module) else 1
    set_parameter(module, "weight", module.weight.index_select(dim, index))
    setattr(module, "nx" if is_transposed(module) else "in_features", len(index))


def keep_entries(table: nn.Embedding, index: Tensor) -> None:
    """Keep some columns of an embedding of relative positions (positions x heads).

    Args:
        table: changed in place.
        index: int64, of the kept heads.
    """
    set_parameter(table, "weight", table.weight.index_select(1, index))
    table.embedding_dim = len(index)
