"""Takes attention heads and feed-forward neurons out of a model: its tensors become smaller, in place."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch import nn

from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, base_model, has
from compress.core.matrix import matrix, rows_of
from compress.core.surgery import check_kept, keep_entries, keep_inputs, keep_outputs, set_parameter

__all__ = ["head_counts", "keep_heads", "keep_neurons", "neuron_counts"]

Kept = tuple[tuple[int, ...], ...]


def head_counts(model: nn.Module, family: Family) -> tuple[int, ...]:
    """How many heads each block has now."""
    size = family.head_size(base_model(model).config)
    return tuple(matrix(linear).shape[1] // size for linear in family.block_parts(model, "output"))


def neuron_counts(model: nn.Module, family: Family) -> tuple[int, ...]:
    """How many feed-forward neurons each block has now."""
    return tuple(matrix(linear).shape[1] for linear in family.block_parts(model, "down"))


def keep_heads(model: nn.Module, family: Family, kept: Kept) -> None:
    """Leave the heads `kept[i]` (ascending) of block i.

    Raises:
        Refusal: the family's heads cannot be cut, or all its blocks must keep the same.
        InputError: `kept` does not fit the model.
    """
    family.require("heads", stage="keep_heads")
    counts = head_counts(model, family)
    _check(kept, counts, "heads")
    if family.one_set_of_heads and len(set(kept)) > 1:
        raise Refusal(
            f"all blocks of a {family.model_type} model share one position bias per head, so they keep the same heads",
            given=kept,
            advice="choose one set of heads for the whole stack",
        )
    size = family.head_size(base_model(model).config)
    for block, units, count in zip(family.module_list(model), kept, counts):
        _keep_heads_of_block(block, family, units, size=size, of=count)
    if family.shared_head_table:
        table = attrgetter(family.shared_head_table)(base_model(model))
        keep_entries(table, torch.tensor(kept[0], device=table.weight.device))
    _write_heads(model, family, size)


def keep_neurons(model: nn.Module, family: Family, kept: Kept) -> None:
    """Leave the feed-forward neurons `kept[i]` (ascending) of block i.

    Raises:
        Refusal: the family's neurons cannot be cut.
        InputError: `kept` does not fit the model.
    """
    family.require("neurons", stage="keep_neurons")
    counts = neuron_counts(model, family)
    _check(kept, counts, "neurons")
    for block, units, count in zip(family.module_list(model), kept, counts):
        down = family.part(block, "down")
        device = matrix(down).device
        for path in _paths(block, family, "up", "gate"):
            rows = rows_of(units, size=1, of=count, stacked=family.stacked.get(path, 1), device=device)
            keep_outputs(attrgetter(path)(block), rows)
        keep_inputs(down, rows_of(units, size=1, of=count, device=device))
    left = set(neuron_counts(model, family))
    if len(left) == 1 and "neurons" in family.config:
        setattr(base_model(model).config, family.config["neurons"], left.pop())


def _keep_heads_of_block(block: nn.Module, family: Family, units: tuple[int, ...], *, size: int, of: int) -> None:
    output = family.part(block, "output")
    device = matrix(output).device
    for path in (*_paths(block, family, "query", "key", "value"), *_present(block, family.biases_of_head)):
        rows = rows_of(
            units,
            size=size,
            of=of,
            stacked=family.stacked.get(path, 1),
            interleaved=family.interleaved.get(path, 1),
            device=device,
        )
        _keep_rows(block, path, rows)
    keep_inputs(output, rows_of(units, size=size, of=of, device=device))
    for path, meaning in family.head_attributes.items():
        owner, _, name = path.rpartition(".")
        value = len(units) if meaning == "heads" else len(units) * size
        setattr(attrgetter(owner)(block), name, value)


def _keep_rows(block: nn.Module, path: str, rows: torch.Tensor) -> None:
    found = attrgetter(path)(block)
    if isinstance(found, nn.Parameter):
        owner, _, name = path.rpartition(".")
        set_parameter(attrgetter(owner)(block), name, found.index_select(0, rows))
    else:
        keep_outputs(found, rows)


def _paths(block: nn.Module, family: Family, *roles: str) -> list[str]:
    """The paths of the roles that the block has, a fused one once."""
    found = [family.path(block, role) for role in roles if getattr(family, role)]
    return list(dict.fromkeys(_present(block, tuple(found))))


def _present(block: nn.Module, paths: tuple[str, ...]) -> list[str]:
    return [path for path in paths if has(block, path)]


def _write_heads(model: nn.Module, family: Family, size: int) -> None:
    """Where one number of heads for all blocks, beside the head's size, can be written, write it."""
    config: Any = base_model(model).config
    left = set(head_counts(model, family))
    if len(left) == 1 and "head_size" in family.config:
        setattr(config, family.config["head_size"], size)
        setattr(config, family.config["heads"], left.pop())


def _check(kept: Kept, counts: tuple[int, ...], what: str) -> None:
    if len(kept) != len(counts):
        raise InputError(f"{len(counts)} blocks need {len(counts)} tuples of {what}", given=kept)
    for number, (units, count) in enumerate(zip(kept, counts)):
        check_kept(units, of=count, what=what, where=f"block {number}")
