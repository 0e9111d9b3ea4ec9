"""Parameter sharing between blocks: tying, listing and untying tensors, in place and on any device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family

__all__ = [
    "What",
    "forget_block_ties",
    "is_shared",
    "mean_of",
    "share_blocks",
    "shared_parts",
    "shared_twice",
    "untie_blocks",
]

What = Literal["all", "attention", "ffn"]
Groups = Sequence[Sequence[int]]


def share_blocks(model: nn.Module, family: Family, *, what: What, groups: Groups, sources: Groups) -> None:
    """Tie the blocks of each group: they use the same tensors, the mean of those of the group's sources.

    A tensor that only one block of a group has (T5's position bias) stays as it is. One that none of the sources has
    (the norm that ModernBERT's first block lacks) is taken from the first block that has it.

    Args:
        model: changed in place.
        family: of the model.
        what: which part of the blocks; norms belong to the part that they normalise for.
        groups: indices, from 0, of the blocks that use the same tensors.
        sources: for each group, the blocks whose mean they are.

    Raises:
        Refusal: the family's blocks cannot be shared, or those of a group differ in shape.
        InputError: a group or a source names a block that is not there, or a block stands in two groups.
    """
    family.require("blocks", stage="share")
    blocks = family.module_list(model)
    _check(groups, sources, of=len(blocks))
    for group, source in zip(groups, sources):
        for path in _paths([blocks[number] for number in group], family, what):
            owners = {number: found for number in group if (found := _found(blocks[number], path)) is not None}
            if len({tuple(parameter.shape) for parameter in owners.values()}) > 1:
                raise _unequal(path, owners, family)
            used = [owners[number] for number in source if number in owners] or list(owners.values())[:1]
            _put(blocks, owners, path, nn.Parameter(mean_of(used), used[0].requires_grad))


def untie_blocks(model: nn.Module, family: Family) -> None:
    """Untie the blocks: each gets its own tensors, with the same values.

    Args:
        model: changed in place.
        family: of the model.
    """
    seen: set[int] = set()
    for block in family.module_list(model):
        for path, parameter in list(block.named_parameters(remove_duplicate=False)):
            if id(parameter) in seen:
                _set(block, path, nn.Parameter(parameter.detach().clone(), parameter.requires_grad))
        seen |= {id(parameter) for parameter in block.parameters()}


def forget_block_ties(model: Any, family: Family) -> None:
    """Remove the blocks' entries from transformers' tied weights; the shared tensors themselves stay shared.

    The entries serve loading, when transformers ties. Afterwards blocks may be removed, untied or factorized, and an
    entry that was left would tie them again.

    Args:
        model: changed in place.
        family: of the model.
    """
    for name in ("_tied_weights_keys", "all_tied_weights_keys"):
        known = getattr(model, name, None) or {}
        # Outside of its blocks no parameter of the family has their path in its name.
        left = {path: source for path, source in known.items() if f".{family.blocks}." not in f".{path}"}
        if len(left) < len(known):
            setattr(model, name, left)


def is_shared(model: nn.Module, family: Family) -> bool:
    """Whether two blocks use the same tensor.

    Args:
        model: with or without a head.
        family: of the model.
    """
    return bool(shared_parts(model, family))


def shared_parts(model: nn.Module, family: Family) -> list[dict[str, Any]]:
    """Which blocks use the same tensors, as plain data.

    Args:
        model: with or without a head.
        family: of the model.

    Returns:
        For each grouping the path of the blocks from the base model, the groups, and the paths of the parameters from a
        block: {"blocks": "encoder.layer", "groups": [[0, 1], [2, 3]], "parameters": ["output.dense.weight", ...]}.
    """
    parts: dict[tuple[tuple[int, ...], ...], list[str]] = {}
    for path, users in _users(model, family).items():
        groups = tuple(tuple(numbers) for numbers in users.values() if len(numbers) > 1)
        if groups:
            parts.setdefault(groups, []).append(path)
    return [
        {"blocks": family.blocks, "groups": [list(group) for group in groups], "parameters": paths}
        for groups, paths in parts.items()
    ]


def shared_twice(model: nn.Module, family: Family) -> set[str]:
    """Names in the model's state dict of tensors that an earlier block has too.

    Args:
        model: with or without a head.
        family: of the model.
    """
    blocks = list(family.module_list(model))
    place = {id(block): name for name, block in model.named_modules()}
    return {
        f"{place[id(blocks[number])]}.{path}"
        for path, users in _users(model, family).items()
        for first, *others in users.values()
        for number in others
    }


def _users(model: nn.Module, family: Family) -> dict[str, dict[int, list[int]]]:
    """Path of a parameter in a block -> id of each tensor that is there -> numbers of the blocks that use it."""
    found: dict[str, dict[int, list[int]]] = {}
    for number, block in enumerate(family.module_list(model)):
        for path, parameter in block.named_parameters(remove_duplicate=False):
            found.setdefault(path, {}).setdefault(id(parameter), []).append(number)
    return found


def _paths(blocks: Sequence[nn.Module], family: Family, what: What) -> Iterator[str]:
    """Paths of the parameters of that part that more than one of the blocks has, each once."""
    paths = [path for block in blocks for path, _ in block.named_parameters(remove_duplicate=False)]
    inside = tuple(f"{module}." for module in family.attention)
    for path in dict.fromkeys(paths):
        if paths.count(path) > 1 and (what == "all" or path.startswith(inside) == (what == "attention")):
            yield path


def mean_of(tensors: Sequence[Tensor]) -> Tensor:
    """The mean, computed in float64, so that the mean of equal tensors is that tensor, bit by bit."""
    total = torch.stack([tensor.detach().double() for tensor in tensors]).mean(0)
    return total.to(tensors[0].dtype)


def _found(block: nn.Module, path: str) -> nn.Parameter | None:
    return dict(block.named_parameters(remove_duplicate=False)).get(path)


def _put(blocks: nn.ModuleList, owners: dict[int, nn.Parameter], path: str, shared: nn.Parameter) -> None:
    for number in owners:
        _set(blocks[number], path, shared)


def _set(block: nn.Module, path: str, parameter: nn.Parameter) -> None:
    owner, _, name = path.rpartition(".")
    setattr(block.get_submodule(owner), name, parameter)


def _unequal(path: str, owners: dict[int, nn.Parameter], family: Family) -> Refusal:
    shapes = {number: tuple(parameter.shape) for number, parameter in owners.items()}
    return Refusal(
        f"blocks of different shapes cannot share their tensors: {path} of this {family.model_type} model is "
        + ", ".join(f"{shape} in block {number}" for number, shape in shapes.items()),
        advice="prune the same number of heads and neurons in every layer (allocation: uniform), or share another part",
    )


def _check(groups: Groups, sources: Groups, *, of: int) -> None:
    named = [number for group in groups for number in group]
    inside = all(set(source) <= set(group) and source for group, source in zip(groups, sources))
    if len(groups) != len(sources) or not inside or len(named) != len(set(named)) or not set(named) <= set(range(of)):
        raise InputError(
            f"groups of blocks are numbers from 0 to {of - 1}, each in one group, with sources among them",
            given={"groups": [list(group) for group in groups], "sources": [list(source) for source in sources]},
        )
