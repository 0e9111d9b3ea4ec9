"""Building a model of another family from a model's tensors: factorized embeddings and shared blocks."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import Refusal
from compress.core.families.conversion import Conversion
from compress.core.families.family import Family, base_model, has
from compress.core.model.config import stock_class, stock_config
from compress.core.model.sharing import mean_of
from compress.share.groups import Groups
from compress.share.narrow import narrow_tables

__all__ = ["converted"]

Moved = tuple[str, Tensor]
"""Name of a parameter of the new model, and its value."""


@torch.no_grad()
def converted(
    model: nn.Module, family: Family, target: Family, *, width: int, sources: Groups
) -> tuple[nn.Module, dict[str, str]]:
    """The model as one of `target`, with the same task's head, on the same device (the meta device too).

    Its outputs are those of `model` with centred embeddings truncated to the joint rank `width` - 1 and with every
    block of a group replaced by the mean of the group's sources.

    Args:
        model: stays as it is.
        family: of `model`; one that `target` is made from.
        target: the new family.
        width: embedding size of the new model, from 2 to the hidden size.
        sources: for each new block, the old ones whose mean it is.

    Returns:
        The new model, and old name -> new name of the parameters behind the blocks (the pooler's and the head's).

    Raises:
        Refusal: the head, or another part of the model, does not exist in the new one, or has another shape there.
    """
    conversion = target.made_from[family.model_type]
    if getattr(model.config, "is_decoder", False):
        raise Refusal(f"a decoder cannot be converted to {target.model_type}, whose attention is bidirectional")
    new = _fresh(model, family, target, conversion, width=width, groups=len(sources))
    prefix = "" if base_model(new) is new else f"{new.base_model_prefix}."
    behind = dict(_behind(model, conversion, prefix))
    moved = {
        **{f"{prefix}{name}": value for name, value in _blocks(model, family, target, conversion, sources)},
        **{f"{prefix}{name}": value for name, value in _embeddings(model, conversion, width)},
        **behind,
    }
    _check(model, family, target, conversion, new=new, moved=moved)
    for name, parameter in new.named_parameters():
        parameter.copy_(moved[name])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return new.train(model.training), {names[id(parameter)]: name for name, parameter in behind.items()}


def _fresh(model: Any, family: Family, target: Family, conversion: Conversion, *, width: int, groups: int) -> Any:
    """A model of the new family with fresh values."""
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING[target.model_type]()
    given = {name: value for name, value in stock_config(model).to_dict().items() if name not in ("architectures",)}
    for name, value in given.items():
        if hasattr(config, name) and name not in ("model_type", "transformers_version"):
            setattr(config, name, value)
    for name, names in conversion.config.items():
        setattr(config, name, next(given[there] for there in names if given.get(there) is not None))
    # Where heads and the hidden size were pruned, the configuration still has the number of heads of before.
    hidden = getattr(config, target.config["hidden"])
    setattr(config, target.config["heads"], hidden // family.head_size(model.config))
    setattr(config, conversion.width, width)
    setattr(config, conversion.groups, groups)
    setattr(config, conversion.length, given[conversion.length] - _skipped(model, conversion))
    config._attn_implementation_internal = model.config._attn_implementation
    like = next(model.parameters())
    with torch.random.fork_rng(devices=[]), torch.device(like.device):
        return _twin_class(model, family, target)(config).to(like.dtype)


def _twin_class(model: nn.Module, family: Family, target: Family) -> Any:
    """The class of the new family for the same task.

    Raises:
        Refusal: it has none.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto

    ours, theirs = CONFIG_MAPPING[family.model_type], CONFIG_MAPPING[target.model_type]
    for name, auto in vars(modeling_auto).items():
        mapping = getattr(auto, "_model_mapping", None) if name.startswith("AutoModel") else None
        if mapping is not None and ours in mapping and theirs in mapping and mapping[ours] is stock_class(model):
            return mapping[theirs]
    raise Refusal(f"a {stock_class(model).__name__} has no twin among the {target.model_type} models")


def _blocks(
    model: nn.Module, family: Family, target: Family, conversion: Conversion, sources: Groups
) -> Iterator[Moved]:
    blocks = family.module_list(model)
    for number, source in enumerate(sources):
        for there, here in conversion.block.items():
            for name, _ in attrgetter(there)(blocks[0]).named_parameters():
                tensors = [attrgetter(f"{there}.{name}")(blocks[index]) for index in source]
                yield f"{target.blocks}.{number}.{here}.{name}", mean_of(tensors)


def _embeddings(model: nn.Module, conversion: Conversion, width: int) -> Iterator[Moved]:
    base = base_model(model)
    skipped = {conversion.positions: _skipped(model, conversion)}
    tables = [attrgetter(path)(base).weight[skipped.get(path, 0) :] for path in conversion.tables]
    norm = attrgetter(conversion.norm)(base)
    narrow, weight = narrow_tables(tables, norm.weight, width=width)
    for path, table in zip(conversion.tables, narrow):
        yield f"{path}.weight", table
    yield f"{conversion.norm}.weight", torch.ones_like(narrow[0][0])
    yield f"{conversion.norm}.bias", torch.zeros_like(narrow[0][0])
    yield f"{conversion.mapping}.weight", weight
    yield f"{conversion.mapping}.bias", norm.bias


def _behind(model: nn.Module, conversion: Conversion, prefix: str) -> Iterator[Moved]:
    """What lies behind the blocks: the pooler, and the task's head."""
    base = base_model(model)
    in_base = {id(parameter) for parameter in base.parameters()}
    for there, here in conversion.outside.items():
        if has(base, there):
            yield from ((f"{prefix}{here}.{n}", p) for n, p in attrgetter(there)(base).named_parameters())
    for path, parameter in model.named_parameters():
        if id(parameter) not in in_base:
            owner, _, name = path.rpartition(".")
            here = f"{prefix}{conversion.head[owner]}" if owner in conversion.head else owner
            yield f"{conversion.head_names.get(owner, here)}.{name}", parameter


def _skipped(model: Any, conversion: Conversion) -> int:
    """Rows at the start of the position embeddings that no text uses."""
    return 0 if conversion.first_position is None else int(getattr(model.config, conversion.first_position)) + 1


def _check(
    model: nn.Module,
    family: Family,
    target: Family,
    conversion: Conversion,
    *,
    new: nn.Module,
    moved: dict[str, Tensor],
) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in new.named_parameters()}
    wrong = sorted(shapes.items() ^ {name: tuple(value.shape) for name, value in moved.items()}.items())
    left = len(list(base_model(model).named_parameters(remove_duplicate=False))) - _used(model, family, conversion)
    if wrong or left:
        raise Refusal(
            f"parts of this {family.model_type} model do not exist in {target.model_type}, or have another shape there",
            given=sorted({name for name, _ in wrong})[:4] or f"{left} tensors of the base model",
            advice="convert a model with a head for sequence or token classification, before heads are pruned",
        )


def _used(model: nn.Module, family: Family, conversion: Conversion) -> int:
    """How many tensors of the base model are taken over, those of the blocks each by itself."""
    base = base_model(model)
    paths = [*conversion.tables, conversion.norm, *(path for path in conversion.outside if has(base, path))]
    in_blocks = [attrgetter(path)(block) for block in family.module_list(model) for path in conversion.block]
    return sum(len(list(m.parameters())) for m in [*(attrgetter(path)(base) for path in paths), *in_blocks])
