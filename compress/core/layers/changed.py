"""Models whose parts have sizes that no stock configuration can say.

`changed.BertForSequenceClassification` is transformers' class of that name, built and then resized as the
configuration records in `trimformer`: {"shapes": {parameter: shape}, "attributes": {path: value}}, with paths relative
to the base model. A weight that `compact` names (name in the file: shape) lies there as bits and values. A copy of this
file lies in every directory that needs it, so it imports torch, transformers and what these import only.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from transformers.utils import cached_file

PREFIX = "trimformer_"
"""Before the stock `model_type`: whoever opens the directory without this file gets an error, not random weights."""

_MADE: dict[str, type] = {}


def __getattr__(name: str) -> type:
    if name.startswith("_"):
        raise AttributeError(name)
    if name not in _MADE:
        stock = getattr(transformers, name, None)
        if not isinstance(stock, type):
            raise AttributeError(f"transformers has no class {name!r}")
        _MADE[name] = _config(stock) if issubclass(stock, transformers.PreTrainedConfig) else _model(stock)
    return _MADE[name]


def _config(stock: Any) -> type:
    return type(stock.__name__, (stock,), {"model_type": PREFIX + stock.model_type, "__module__": __name__})


def _model(stock: Any) -> type:
    def build(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        stock.__init__(self, config, *args, **kwargs)
        _resize(self, config.trimformer)

    def opened(cls: Any, place: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
        found = config if hasattr(config, "trimformer") else cls.config_class.from_pretrained(place, **_where(kwargs))
        shapes = found.trimformer.get("compact")
        if place is None or kwargs.get("state_dict") is not None or not shapes:
            return stock.from_pretrained.__func__(cls, place, *args, config=config or found, **kwargs)
        state = _dense(cached_file(place, "model.safetensors", **_where(kwargs)), shapes)
        return stock.from_pretrained.__func__(cls, None, *args, config=found, state_dict=state, **kwargs)

    body = {
        "__init__": build,
        "__module__": __name__,
        "__doc__": stock.__doc__,
        "config_class": __getattr__(stock.config_class.__name__),
        "from_pretrained": classmethod(opened),
    }
    return type(stock.__name__, (stock,), body)


def _where(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those that say where files are found."""
    names = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
    return {name: kwargs[name] for name in names if name in kwargs}


def _dense(path: Any, shapes: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a file, those of `shapes` dense: its values where a bit is 1, row by row, and else 0."""
    state = dict(load_file(path))
    for name, shape in shapes.items():
        bits, values = state.pop(name + ".bits"), state.pop(name + ".values")
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8)
        weight = torch.zeros(shape, dtype=values.dtype)
        flat = (bits[:, None] >> shifts & 1).bool().reshape(-1)[: weight.numel()]
        weight.view(-1)[flat] = values
        state[name] = weight
    return state


def _resize(model: Any, record: dict[str, Any]) -> None:
    base = getattr(model, model.base_model_prefix, model)
    for path, shape in record["shapes"].items():
        owner, _, name = path.rpartition(".")
        module = base.get_submodule(owner)
        # A bias that the stock linear lacks is one more parameter.
        like = module.weight if getattr(module, name) is None else getattr(module, name)
        setattr(module, name, nn.Parameter(torch.zeros(shape, dtype=like.dtype)))
        _count(module)
        model._init_weights(module)
    for path, value in record["attributes"].items():
        owner, _, name = path.rpartition(".")
        setattr(base.get_submodule(owner), name, value)
    model.tie_weights()


def _count(module: nn.Module) -> None:
    """Let a module's own numbers agree with its weight."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, transformers.pytorch_utils.Conv1D):
        module.nx, module.nf = module.weight.shape
