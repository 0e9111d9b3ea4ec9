"""Models whose parts have sizes that no stock configuration can say.

`changed.BertForSequenceClassification` is transformers' class of that name, built and then changed as the
configuration records in `trimformer`: {"linears": {path: rank}, "tables": {path: rank}, "shapes": {parameter: shape},
"attributes": {path: value}}, in this order, with paths relative to the base model. A copy of this file, and of what it
imports beside it, lies in every directory that needs it, so it imports torch and transformers only.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn

from .low_rank import FactorizedEmbedding, install

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
        _change(self, config.trimformer)

    config_class = __getattr__(stock.config_class.__name__)
    body = {"__init__": build, "__module__": __name__, "__doc__": stock.__doc__, "config_class": config_class}
    return type(stock.__name__, (stock,), body)


def _change(model: Any, record: dict[str, Any]) -> None:
    # Directories of an older version say nothing of factors.
    install(model, record.get("linears", {}), record.get("tables", {}))
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
    elif isinstance(module, FactorizedEmbedding):
        module.num_embeddings = module.weight.shape[0]
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, transformers.pytorch_utils.Conv1D):
        module.nx, module.nf = module.weight.shape
