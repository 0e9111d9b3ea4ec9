"""Pruning the hidden size: every tensor with a hidden dimension becomes smaller, in place.

Query, key and value keep their outputs, so that the size of a head and the number of neurons stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from compress.core.errors import Refusal
from compress.core.families.family import Family, base_model, has
from compress.core.model.config import built_config, stock_class
from compress.core.model.matrix import is_transposed
from compress.core.surgery.layers import check_kept, set_parameter

__all__ = ["hidden_dimensions", "keep_width", "width_fields"]

Dimensions = dict[str, tuple[int, ...]]


def keep_width(model: nn.Module, family: Family, kept: tuple[int, ...]) -> None:
    """Keep some entries of the hidden states, and remove the others, in the configuration too.

    Args:
        model: changed in place.
        family: of the model.
        kept: indices, ascending from 0 and below the hidden size.

    Raises:
        Refusal: the family's hidden size cannot be pruned.
        InputError: `kept` does not fit the model.
    """
    from compress.core.layers.changed import count

    family.require("width", stage="keep_width")
    config: Any = base_model(model).config
    width = getattr(config, family.config["hidden"])
    check_kept(kept, of=width, what="entries of the hidden states")
    found = hidden_dimensions(model, family)
    made: dict[int, nn.Parameter] = {}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        if id(parameter) not in made and name in found:
            set_parameter(module, attribute, _cut(parameter, found[name], kept))
            made[id(parameter)] = getattr(module, attribute)
        if id(parameter) in made:
            # A tensor that several modules share stays shared.
            setattr(module, attribute, made[id(parameter)])
            count(module)
    _write(config, family, len(kept))


def hidden_dimensions(model: nn.Module, family: Family) -> Dimensions:
    """Parameter -> its dimensions that are hidden ones, for all parameters that have some.

    They are the dimensions that grow with the configuration's hidden size, less those of heads or neurons by the
    family's record.

    Args:
        model: with or without a head.
        family: of the model.

    Raises:
        Refusal: some dimension of the model depends on the hidden size in another way.
    """
    plain, wide = (_shapes(model, family, factor) for factor in (1, 2))
    inner = set(_inner(model, family))
    width = getattr(base_model(model).config, family.config["hidden"])
    found: Dimensions = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        stock = name if name in plain else f"{name.rpartition('.')[0]}.weight"
        grown = {dim for dim, (one, two) in enumerate(zip(plain[stock], wide[stock])) if one != two}
        if stock != name:
            # A bias that the stock linear lacks has an entry for each of its outputs.
            grown = {0} if _out(model, name) in grown else set()
        dims = tuple(sorted(dim for dim in grown if (name, dim) not in inner))
        if any(parameter.shape[dim] != width for dim in dims):
            what = f"the hidden size of a {family.model_type} model cannot be pruned: {name} has a size that follows it"
            raise Refusal(what, given=tuple(parameter.shape))
        if dims:
            found[name] = dims
    return found


def _shapes(model: nn.Module, family: Family, factor: int) -> dict[str, torch.Size]:
    """The shapes of the stock model with `factor` times the hidden size."""
    config = built_config(model)
    for field in width_fields(config, family):
        setattr(config, field, factor * getattr(config, field))
    with torch.device("meta"):
        return {
            name: value.shape for name, value in stock_class(model)(config).named_parameters(remove_duplicate=False)
        }


def width_fields(config: Any, family: Family) -> list[str]:
    """Fields of the configuration that are the hidden size: its own, and those of `same_width` that are equal to it.

    Args:
        config: of a model.
        family: of the model.
    """
    own = family.config["hidden"]
    same = filter(None, family.config.get("same_width", "").split(","))
    return [own, *(field for field in same if getattr(config, field, None) == getattr(config, own))]


def _inner(model: nn.Module, family: Family) -> Iterator[tuple[str, int]]:
    """(parameter, dimension) of all that is heads or neurons."""
    names = {id(module): name for name, module in model.named_modules()}
    for role, outer in (("output", ("query", "key", "value")), ("down", ("up", "gate"))):
        for block, record in family.groups(model, role):
            linear = record.part(block, role)
            yield f"{names[id(linear)]}.weight", 0 if is_transposed(linear) else 1
            paths = [record.path(block, each) for each in outer if getattr(record, each)]
            for path in (*paths, *(record.biases_of_head if role == "output" else ())):
                yield from _outputs(block, path, names) if has(block, path) else ()


def _outputs(block: nn.Module, path: str, names: dict[int, str]) -> Iterator[tuple[str, int]]:
    found = attrgetter(path)(block)
    if isinstance(found, nn.Parameter):
        owner, _, attribute = path.rpartition(".")
        yield f"{names[id(attrgetter(owner)(block))]}.{attribute}", 0
    else:
        yield f"{names[id(found)]}.weight", 1 if is_transposed(found) else 0
        yield f"{names[id(found)]}.bias", 0


def _out(model: nn.Module, bias: str) -> int:
    return 1 if is_transposed(model.get_submodule(bias.rpartition(".")[0])) else 0


def _cut(tensor: torch.Tensor, dims: tuple[int, ...], kept: tuple[int, ...]) -> torch.Tensor:
    index = torch.tensor(kept, device=tensor.device)
    for dim in dims:
        tensor = tensor.index_select(dim, index)
    return tensor


def _write(config: Any, family: Family, width: int) -> None:
    """Write the new hidden size and the size of a head; where the family derives that, also the hidden size before."""
    fields = width_fields(config, family)
    # Rotary embeddings are computed at each loading, from the size of a head in the configuration.
    setattr(config, family.config.get("head_size", "head_dim"), family.head_size(config))
    if "head_size" not in family.config:
        record = getattr(config, "trimformer", None) or {}
        built = {**{field: getattr(config, field) for field in fields}, **record.get("config", {})}
        config.trimformer = {**record, "config": built}
    for field in fields:
        setattr(config, field, width)
