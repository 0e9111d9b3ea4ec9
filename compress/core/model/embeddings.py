"""The embedding matrices of a model: of its vocabulary and of its positions, and the tokens that it names itself."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from torch import nn

from compress.core.errors import Refusal
from compress.core.families.family import Family, base_model, has

__all__ = [
    "configs",
    "first_position",
    "named_words",
    "position_count",
    "position_tables",
    "token_fields",
    "word_count",
    "word_table",
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
    return int(table.weight.shape[0]) - first_position(table, family)


def first_position(table: Any, family: Family) -> int:
    """The row of the first token."""
    if family.positions_from_padding:
        return int(table.padding_idx) + 1
    return family.position_offset


def configs(model: nn.Module) -> list[Any]:
    """Every configuration in the model, each once: encoders and decoders have copies of their own."""
    found = [getattr(m, name, None) for m in model.modules() for name in ("config", "generation_config")]
    return list({id(config): config for config in found if config is not None}.values())


def named_words(model: nn.Module, family: Family) -> set[int]:
    """Ids that the model itself needs: of its padding, and of every token that a configuration in it names.

    Where positions are counted from the padding, the ids below stay too, so that the padding keeps its own.
    """
    table = word_table(model, family)
    ids = [n for config in configs(model) for found in token_fields(config).values() for n in found]
    named = {number for number in ids if 0 <= number < table.weight.shape[0]}
    if table.padding_idx is None:
        return named
    return named | set(range(0 if family.positions_from_padding else table.padding_idx, table.padding_idx + 1))
