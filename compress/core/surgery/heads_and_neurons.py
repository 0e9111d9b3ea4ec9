"""Removing attention heads and feed-forward neurons: structured pruning of the tensors, in place."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch import nn

from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, base_model, has
from compress.core.model.matrix import matrix, rows_of
from compress.core.surgery.layers import check_kept, keep_entries, keep_inputs, keep_outputs, set_parameter

__all__ = ["head_counts", "keep_heads", "keep_neurons", "neuron_counts"]

Kept = tuple[tuple[int, ...], ...]


def head_counts(model: nn.Module, family: Family) -> tuple[int, ...]:
    """Number of heads of each block, then of each block of a decoder, then of each cross-attention.

    Args:
        model: with or without a head.
        family: of the model.
    """
    config = base_model(model).config
    return tuple(
        matrix(record.part(block, "output")).shape[1] // record.head_size(config)
        for block, record in family.groups(model, "output")
    )


def neuron_counts(model: nn.Module, family: Family) -> tuple[int, ...]:
    """Number of feed-forward neurons of each block, a decoder's blocks after the encoder's.

    Args:
        model: with or without a head.
        family: of the model.
    """
    return tuple(matrix(record.part(block, "down")).shape[1] for block, record in family.groups(model, "down"))


def keep_heads(model: nn.Module, family: Family, kept: Kept) -> None:
    """Keep some attention heads of each block, and remove the others.

    Args:
        model: changed in place.
        family: of the model.
        kept: for each block, in the order of `head_counts`, the kept heads, ascending from 0.

    Raises:
        Refusal: the family's heads cannot be pruned, or all blocks of a stack must keep the same.
        InputError: `kept` does not fit the model.
    """
    family.require("heads", stage="keep_heads")
    counts = head_counts(model, family)
    _check(kept, counts, "heads")
    config = base_model(model).config
    groups = list(family.groups(model, "output"))
    for record in family.stacks(model, "output"):
        sets = {units for (_, each), units in zip(groups, kept) if each is record}
        if record.one_set_of_heads and len(sets) > 1:
            raise _several_sets(record, kept)
    for (block, record), units, count in zip(groups, kept, counts):
        _keep_heads_of_block(block, record, units, size=record.head_size(config), of=count)
    for record in family.stacks(model, "output"):
        if record.shared_head_table:
            table = attrgetter(record.shared_head_table)(base_model(model))
            units = next(units for (_, each), units in zip(groups, kept) if each is record)
            keep_entries(table, torch.tensor(units, device=table.weight.device))
    _write_heads(model, family)


def _several_sets(record: Family, kept: Kept) -> Refusal:
    return Refusal(
        f"all blocks of a {record.model_type} model share one position bias per head, so they keep the same heads",
        given=kept,
        advice="choose one set of heads for the whole stack",
    )


def keep_neurons(model: nn.Module, family: Family, kept: Kept) -> None:
    """Keep some feed-forward neurons of each block, and remove the others.

    Args:
        model: changed in place.
        family: of the model.
        kept: for each block, in the order of `neuron_counts`, the kept neurons, ascending from 0.

    Raises:
        Refusal: the family's neurons cannot be pruned.
        InputError: `kept` does not fit the model.
    """
    family.require("neurons", stage="keep_neurons")
    counts = neuron_counts(model, family)
    _check(kept, counts, "neurons")
    for (block, record), units, count in zip(list(family.groups(model, "down")), kept, counts):
        down = record.part(block, "down")
        device = matrix(down).device
        for path in _paths(block, record, "up", "gate"):
            rows = rows_of(units, size=1, of=count, stacked=record.stacked.get(path, 1), device=device)
            keep_outputs(attrgetter(path)(block), rows)
        keep_inputs(down, rows_of(units, size=1, of=count, device=device))
    _write_neurons(model, family)


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


def _write_heads(model: nn.Module, family: Family) -> None:
    """Write the number of heads into the configuration, where it has the size of a head too and all blocks agree."""
    config: Any = base_model(model).config
    left = set(head_counts(model, family))
    if len(left) == 1 and "head_size" in family.config:
        setattr(config, family.config["head_size"], family.head_size(config))
        setattr(config, family.config["heads"], left.pop())


def _write_neurons(model: nn.Module, family: Family) -> None:
    """Write the number of neurons into the configuration, where all blocks of a stack agree."""
    left: dict[str, set[int]] = {}
    for (_, record), count in zip(family.groups(model, "down"), neuron_counts(model, family)):
        left.setdefault(record.config["neurons"], set()).add(count)
    for field, counts in left.items():
        if len(counts) == 1:
            setattr(base_model(model).config, field, counts.pop())


def _check(kept: Kept, counts: tuple[int, ...], what: str) -> None:
    if len(kept) != len(counts):
        raise InputError(f"{len(counts)} blocks need {len(counts)} tuples of {what}", given=kept)
    for number, (units, count) in enumerate(zip(kept, counts)):
        check_kept(units, of=count, what=what, where=f"block {number}")
