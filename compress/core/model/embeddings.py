"""The embedding matrices of a model, of its tokens and of its positions, and the token ids in its configuration."""

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
    "padding_id",
    "position_count",
    "position_limit",
    "position_tables",
    "token_fields",
    "word_count",
    "word_table",
]

ID_FIELD = "_token_id"
"""Suffix of the fields of a configuration that hold the id of a token, or several."""


def word_table(model: nn.Module, family: Family) -> nn.Embedding:
    """The token embeddings.

    Args:
        model: with or without a head.
        family: of the model.

    Raises:
        Refusal: the family has none.
    """
    family.require("vocabulary", stage="trim_vocabulary")
    table: nn.Embedding = attrgetter(family.word_embedding or "")(base_model(model))
    return table


def word_count(model: nn.Module, family: Family) -> int:
    """Rows of the token embeddings.

    Args:
        model: with or without a head.
        family: of the model.
    """
    return int(word_table(model, family).weight.shape[0])


def token_fields(config: Any) -> dict[str, tuple[int, ...]]:
    """Field of the configuration -> the ids that it holds (`pad_token_id`, `decoder_start_token_id`, ...)."""
    found = {name: getattr(config, name, None) for name in vars(config) if name.endswith(ID_FIELD)}
    lists: dict[str, Any] = {name: v if isinstance(v, list | tuple) else [v] for name, v in found.items()}
    return {name: tuple(ids) for name, ids in lists.items() if ids and all(isinstance(n, int) for n in ids)}


def position_tables(model: nn.Module, family: Family) -> list[nn.Embedding]:
    """The position embeddings: the encoder's, and the decoder's where it has its own.

    Args:
        model: with or without a head.
        family: of the model.

    Raises:
        Refusal: the family, or this model of it, has none.
    """
    family.require("positions", stage="trim_positions")
    base = base_model(model)
    paths = [path for path in (family.position_embedding, family.decoder_positions) if path]
    found = [attrgetter(path)(base) for path in paths if has(base, path)]
    if not found:
        raise Refusal(f"trim_positions finds no position embeddings in this {family.model_type} model")
    return found


def position_count(model: nn.Module, family: Family) -> int:
    """Longest sequence, in tokens, by the rows of the position embeddings, without those before the first position.

    Args:
        model: with or without a head.
        family: of the model.
    """
    table = position_tables(model, family)[0]
    return int(table.weight.shape[0]) - first_position(table, family)


def first_position(table: Any, family: Family) -> int:
    """Row of the position embeddings that the first token of a text uses.

    Args:
        table: the position embeddings.
        family: of the model.
    """
    if family.positions_from_padding:
        return int(table.padding_idx) + 1
    return family.position_offset


def position_limit(config: Any, family: Family) -> int | None:
    """Longest sequence, in tokens, that a model of this configuration has position embeddings for.

    The one rule of lengths for training, evaluation, timing and exports. None where positions are relative or computed,
    so that no table ends.

    Args:
        config: of the model; of an export, the fields of its config.json.
        family: of the model.
    """
    optional = family.positions_if
    count = getattr(config, family.config.get("positions", "max_position_embeddings"), None)
    if family.position_embedding is None or count is None or (optional and not getattr(config, optional, True)):
        return None
    return int(count) - (padding_id(config, family) + 1 if family.positions_from_padding else 0)


def padding_id(config: Any, family: Family) -> int:
    """The padding id by which a model counts positions.

    Args:
        config: of the model.
        family: one that counts positions from the padding id.
    """
    found = family.padding_id
    return int(getattr(config, "pad_token_id", None) or 0) if found is None else found


def configs(model: nn.Module) -> list[Any]:
    """Every configuration in the model, each once: encoders and decoders have their own copies."""
    found = [getattr(m, name, None) for m in model.modules() for name in ("config", "generation_config")]
    return list({id(config): config for config in found if config is not None}.values())


def named_words(model: nn.Module, family: Family) -> set[int]:
    """Token ids that the model needs: of the padding, and of every token that its configurations name.

    Where positions are counted from the padding id, the ids below it are needed too, so that it stays the same.

    Args:
        model: with or without a head.
        family: of the model.
    """
    table = word_table(model, family)
    ids = [n for config in configs(model) for found in token_fields(config).values() for n in found]
    named = {number for number in ids if 0 <= number < table.weight.shape[0]}
    if table.padding_idx is None:
        return named
    return named | set(range(0 if family.positions_from_padding else table.padding_idx, table.padding_idx + 1))
