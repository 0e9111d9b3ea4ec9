"""Takes rows out of the tables that a model looks its inputs up in: words and positions. In place, on any device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError, Refusal
from compress.core.families.family import Family, base_model, has
from compress.core.surgery.layers import check_kept, set_parameter

__all__ = [
    "keep_positions",
    "keep_words",
    "named_words",
    "position_count",
    "position_tables",
    "token_fields",
    "word_count",
]

ID_FIELD = "_token_id"
"""How the fields of a configuration end that hold the id of a token, or several."""


def word_table(model: nn.Module, family: Family) -> nn.Embedding:
    """The table of words.

    Raises:
        Refusal: the family reads no words.
    """
    family.require("vocabulary", stage="trim_vocabulary")
    table: nn.Embedding = attrgetter(family.word_embedding or "")(base_model(model))
    return table


def word_count(model: nn.Module, family: Family) -> int:
    """How many words the table has rows for."""
    return int(word_table(model, family).weight.shape[0])


def token_fields(config: Any) -> dict[str, tuple[int, ...]]:
    """Field of the configuration -> the ids that it holds (`pad_token_id`, `decoder_start_token_id`, ...)."""
    found = {name: getattr(config, name, None) for name in vars(config) if name.endswith(ID_FIELD)}
    lists: dict[str, Any] = {name: v if isinstance(v, list | tuple) else [v] for name, v in found.items()}
    return {name: tuple(ids) for name, ids in lists.items() if ids and all(isinstance(n, int) for n in ids)}


def keep_words(model: nn.Module, family: Family, new: Mapping[int, int]) -> None:
    """Leave the rows of the words in `new` (old id -> new id, in the same order), also of an output over the words.

    Ids in the configurations, and what modules remember of the table, become the new ones.

    Raises:
        Refusal: the family reads no words.
        InputError: `new` does not fit the table, or loses its padding or a token that the configuration names.
    """
    table = word_table(model, family)
    rows = table.weight.shape[0]
    kept = sorted(new)
    check_kept(kept, of=rows, what="words")
    lost = sorted(named_words(model, family) - set(kept))
    if lost:
        raise InputError("the model needs words that would be lost", given=lost, advice="keep them")
    index = torch.tensor(kept, device=table.weight.device)
    _cut_rows(model, _over_words(model, table), index)
    for module in model.modules():
        _renumber(module, new, rows=rows)
    for config in _configs(model):
        _renumber_config(config, new, rows=rows)


def position_tables(model: nn.Module, family: Family) -> list[nn.Embedding]:
    """The tables of positions: the encoder's, and the decoder's where it has one of its own.

    Raises:
        Refusal: the family, or this model of it, has none.
    """
    family.require("positions", stage="trim_positions")
    base = base_model(model)
    paths = [path for path in (family.position_embedding, family.decoder_positions) if path]
    found = [attrgetter(path)(base) for path in paths if has(base, path)]
    if not found:
        raise Refusal(f"trim_positions finds no table of positions in this {family.model_type} model")
    return found


def position_count(model: nn.Module, family: Family) -> int:
    """How many tokens the tables of positions serve: their rows, without those before the first position."""
    table = position_tables(model, family)[0]
    return int(table.weight.shape[0]) - _first_position(table, family)


def keep_positions(model: nn.Module, family: Family, length: int) -> None:
    """Leave the positions of the first `length` tokens; the configuration says so too.

    Raises:
        Refusal: there is no table of positions.
        InputError: it has fewer rows.
    """
    had = position_count(model, family)
    if length > had:
        raise InputError(f"the model has {had} positions, fewer than are to stay", given=length)
    tables = position_tables(model, family)
    rows, first = tables[0].weight.shape[0], _first_position(tables[0], family)
    for table in tables:
        set_parameter(table, "weight", table.weight[: first + length])
        table.num_embeddings = first + length
    embeddings = attrgetter(family.embeddings or "")(base_model(model))
    for name, buffer in list(embeddings.named_buffers(recurse=False)):
        if buffer.dim() == 2 and buffer.shape[1] == rows:
            setattr(embeddings, name, buffer[:, : first + length].clone())
    offset = family.position_offset
    for config in _configs(model):
        if hasattr(config, "max_position_embeddings"):
            config.max_position_embeddings = first + length - offset
    for module in model.modules():
        for name in ("max_source_positions", "max_target_positions"):
            if hasattr(module, name):
                setattr(module, name, first + length - offset)


def _first_position(table: Any, family: Family) -> int:
    """The row of the first token."""
    if family.positions_from_padding:
        return int(table.padding_idx) + 1
    return family.position_offset


def _over_words(model: nn.Module, table: nn.Embedding) -> list[tuple[nn.Module, str]]:
    """(module, name) of each parameter or buffer whose first dimension is the words."""
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
    """Cut each tensor once, and put the result wherever it stands: what is tied stays tied."""
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


def _configs(model: nn.Module) -> list[Any]:
    """Every configuration in the model, each once: encoders and decoders have copies of their own."""
    found = [getattr(m, name, None) for m in model.modules() for name in ("config", "generation_config")]
    return list({id(config): config for config in found if config is not None}.values())


def named_words(model: nn.Module, family: Family) -> set[int]:
    """Ids that the model itself needs: of its padding, and of every token that a configuration in it names.

    Where positions are counted from the padding, the ids below stay too, so that the padding keeps its own.
    """
    table = word_table(model, family)
    ids = [n for config in _configs(model) for found in token_fields(config).values() for n in found]
    named = {number for number in ids if 0 <= number < table.weight.shape[0]}
    if table.padding_idx is None:
        return named
    return named | set(range(0 if family.positions_from_padding else table.padding_idx, table.padding_idx + 1))
