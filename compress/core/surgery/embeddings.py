"""Removing rows of the embedding matrices of a model, of its vocabulary or its positions. In place, on any device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError
from compress.core.families.family import Family, base_model
from compress.core.model.embeddings import (
    configs,
    first_position,
    named_words,
    position_count,
    position_tables,
    token_fields,
    word_table,
)
from compress.core.surgery.layers import check_kept, set_parameter

__all__ = ["keep_positions", "keep_words"]


def keep_words(model: nn.Module, family: Family, new: Mapping[int, int]) -> None:
    """Keep the rows of some tokens, also those of an output layer over the vocabulary; the others are removed.

    Ids in the configurations, and sizes that modules hold, become the new ones.

    Args:
        model: changed in place.
        family: of the model.
        new: old id -> new id of the kept tokens, in the same order.

    Raises:
        Refusal: the family has no token embeddings.
        InputError: `new` does not fit them, or loses the padding or a token that the configuration names.
    """
    table = word_table(model, family)
    rows = table.weight.shape[0]
    kept = sorted(new)
    check_kept(kept, of=rows, what="tokens")
    lost = sorted(named_words(model, family) - set(kept))
    if lost:
        raise InputError("the model needs tokens that would be lost", given=lost, advice="keep them")
    index = torch.tensor(kept, device=table.weight.device)
    _cut_rows(model, _over_words(model, table), index)
    for module in model.modules():
        _renumber(module, new, rows=rows)
    for config in configs(model):
        _renumber_config(config, new, rows=rows)


def keep_positions(model: nn.Module, family: Family, length: int) -> None:
    """Keep the position embeddings of the first `length` tokens, in the configuration too.

    Args:
        model: changed in place.
        family: of the model.
        length: in tokens, special ones included.

    Raises:
        Refusal: there are no position embeddings.
        InputError: they have fewer rows.
    """
    had = position_count(model, family)
    if length > had:
        raise InputError(f"the model has {had} positions, fewer than are to stay", given=length)
    tables = position_tables(model, family)
    rows, first = tables[0].weight.shape[0], first_position(tables[0], family)
    for table in tables:
        set_parameter(table, "weight", table.weight[: first + length])
        table.num_embeddings = first + length
    embeddings = attrgetter(family.embeddings or "")(base_model(model))
    for name, buffer in list(embeddings.named_buffers(recurse=False)):
        if buffer.dim() == 2 and buffer.shape[1] == rows:
            setattr(embeddings, name, buffer[:, : first + length].clone())
    offset = family.position_offset
    for config in configs(model):
        if hasattr(config, "max_position_embeddings"):
            config.max_position_embeddings = first + length - offset
    for module in model.modules():
        for name in ("max_source_positions", "max_target_positions"):
            if hasattr(module, name):
                setattr(module, name, first + length - offset)


def _over_words(model: nn.Module, table: nn.Embedding) -> list[tuple[nn.Module, str]]:
    """(module, name) of each parameter whose first dimension is the vocabulary."""
    find: Any = getattr(model, "get_output_embeddings", None)
    output = find() if find else None
    ours: list[Any] = [table.weight]
    if output is not None and output.weight.shape[0] == table.weight.shape[0]:
        ours.append(output.weight)
    heads = [m for m in model.modules() if any(getattr(m, "weight", None) is weight for weight in ours)]
    ours += [m.bias for m in heads if isinstance(getattr(m, "bias", None), nn.Parameter)]
    wanted = {id(tensor) for tensor in ours}
    return [
        (m, name) for m in model.modules() for name, p in m._parameters.items() if p is not None and id(p) in wanted
    ]


def _cut_rows(model: nn.Module, places: Iterable[tuple[nn.Module, str]], index: Tensor) -> None:
    """Select the rows of each tensor once, for all modules that use it, so that what is tied stays tied."""
    cut: dict[int, nn.Parameter] = {}
    for module, name in places:
        old = getattr(module, name)
        if id(old) not in cut:
            kept = old.detach().index_select(0, index).clone()
            cut[id(old)] = nn.Parameter(kept, requires_grad=old.requires_grad)
        setattr(module, name, cut[id(old)])
    bias = getattr(model, "final_logits_bias", None)
    if isinstance(bias, Tensor):
        model.final_logits_bias = bias.index_select(1, index)


def _renumber(module: Any, new: Mapping[int, int], *, rows: int) -> None:
    if isinstance(module, nn.Embedding) and module.num_embeddings == rows and module.weight.shape[0] == len(new):
        module.num_embeddings = len(new)
        module.padding_idx = None if module.padding_idx is None else new[module.padding_idx]
    elif isinstance(module, nn.Linear) and module.weight.shape[0] == len(new) and module.out_features == rows:
        module.out_features = len(new)
    elif isinstance(getattr(module, "padding_idx", None), int) and not isinstance(module, nn.Embedding):
        module.padding_idx = new[module.padding_idx]
    if getattr(module, "vocab_size", None) == rows:
        module.vocab_size = len(new)


def _renumber_config(config: Any, new: Mapping[int, int], *, rows: int) -> None:
    if getattr(config, "vocab_size", None) == rows:
        config.vocab_size = len(new)
    for name, ids in token_fields(config).items():
        changed = [new.get(number, number) for number in ids]
        setattr(config, name, changed if isinstance(getattr(config, name), list | tuple) else changed[0])
