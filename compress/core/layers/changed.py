"""Models whose parts have sizes, or share tensors, as no stock configuration can say.

`changed.BertForSequenceClassification` is transformers' class of that name, built and then changed as the
configuration records in `trimformer`: {"linears": {path: rank}, "tables": {path: rank}, "shapes": {parameter: shape},
"attributes": {path: value}, "shared": [{"blocks": path, "groups": [[number, ...], ...], "parameters": [path in a
block, ...]}, ...]}, in this order, with paths relative to the base model. Where its width was cut, "config" has the
fields that the stock model is built with (its heads divide them), and "head" the shapes of the task's head, null where
they are as the configuration says. Blocks of a group use the same tensors; the file of the weights has those of the
first. A weight that "compact" names (name in the file: shape) lies there as bits and values. A copy of this file, and
of what it imports beside it, lies in every directory that needs it, so it imports torch, transformers and what these
import only.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn
from transformers.utils import cached_file

from .bits import dense
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
        built = config.trimformer.get("config", {})
        asked = {name: getattr(config, name) for name in built}
        _write(config, built)
        stock.__init__(self, config, *args, **kwargs)
        _write(config, asked)
        _resize(self, config.trimformer)
        _share(self, config.trimformer.get("shared", ()))

    def adjust_bias(self: Any, tied: Any, source: Any) -> None:
        # After a tie transformers cuts the bias to the first size of the weight, which here is that of the input.
        if not isinstance(tied, transformers.pytorch_utils.Conv1D):
            stock._adjust_bias(self, tied, source)

    def opened(cls: Any, place: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
        found = config if hasattr(config, "trimformer") else cls.config_class.from_pretrained(place, **_where(kwargs))
        shapes = found.trimformer.get("compact")
        if place is None or kwargs.get("state_dict") is not None or not shapes:
            return stock.from_pretrained.__func__(cls, place, *args, config=config or found, **kwargs)
        state = dense(cached_file(place, "model.safetensors", **_where(kwargs)), shapes)
        return stock.from_pretrained.__func__(cls, None, *args, config=found, state_dict=state, **kwargs)

    body = {
        "__init__": build,
        "__module__": __name__,
        "__doc__": stock.__doc__,
        "_adjust_bias": adjust_bias,
        "config_class": __getattr__(stock.config_class.__name__),
        "from_pretrained": classmethod(opened),
    }
    return type(stock.__name__, (stock,), body)


def _write(config: Any, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(config, name, value)


def _where(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those that say where files are found."""
    names = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
    return {name: kwargs[name] for name in names if name in kwargs}


def _resize(model: Any, record: dict[str, Any]) -> None:
    # Directories of an older version say nothing of factors.
    install(model, record.get("linears", {}), record.get("tables", {}))
    base = getattr(model, model.base_model_prefix, model)
    for path, shape in record["shapes"].items():
        _replace(model, base, path, shape)
    named = dict(model.named_parameters()) if base is not model else {}
    for path, shape in record.get("head", {}).items():
        if path in named:
            _replace(model, model, path, [size or old for size, old in zip(shape, named[path].shape)])
    for path, value in record["attributes"].items():
        owner, _, name = path.rpartition(".")
        setattr(base.get_submodule(owner), name, value)
    model.tie_weights()


def _replace(model: Any, root: Any, path: str, shape: Any) -> None:
    """A parameter of another shape in the place of `path`."""
    owner, _, name = path.rpartition(".")
    module = root.get_submodule(owner)
    # A bias that the stock linear lacks is one more parameter.
    like = module.weight if getattr(module, name) is None else getattr(module, name)
    setattr(module, name, nn.Parameter(torch.zeros(shape, dtype=like.dtype)))
    count(module)
    if _whole(module):
        model._init_weights(module)


def _whole(module: nn.Module) -> bool:
    """Whether a norm's weight and bias are of one size; between the two replacements they are not."""
    return not isinstance(module, nn.LayerNorm) or module.bias is None or module.bias.shape == module.weight.shape


def _share(model: Any, record: Any) -> None:
    base = getattr(model, model.base_model_prefix, model)
    prefix = "" if base is model else f"{model.base_model_prefix}."
    tied: dict[str, str] = {}
    for part in record:
        for first, *others in part["groups"]:
            for path in part["parameters"]:
                source = f"{part['blocks']}.{first}.{path}"
                for number in others:
                    target = f"{part['blocks']}.{number}.{path}"
                    owner, _, name = target.rpartition(".")
                    setattr(base.get_submodule(owner), name, base.get_parameter(source))
                    tied[prefix + target] = prefix + source
    # The first is what transformers asks when it saves and ties anew, the second while it loads; vision models, whose
    # configuration speaks of no tied embeddings, would take nothing from the first.
    model._tied_weights_keys = {**(model._tied_weights_keys or {}), **tied}
    model.all_tied_weights_keys = {**model.all_tied_weights_keys, **tied}


def count(module: nn.Module) -> None:
    """Let a module's own numbers agree with its weight."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, FactorizedEmbedding):
        module.num_embeddings = module.weight.shape[0]
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, transformers.pytorch_utils.Conv1D):
        module.nx, module.nf = module.weight.shape
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.Conv1d | nn.Conv2d):
        module.out_channels, module.in_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
