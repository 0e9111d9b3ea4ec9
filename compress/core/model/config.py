"""The stock configuration of a model: of transformers' own class, without the fields of this package."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["OURS", "built_config", "built_fields", "stock_class", "stock_config"]

OURS = ("model_type", "auto_map", "trimformer", "transformers_version")
"""Fields of a configuration that a stock one does not have."""


def stock_class(value: object) -> Any:
    """transformers' own class behind a model or a configuration."""
    return next(cls for cls in type(value).__mro__ if cls.__module__.startswith("transformers."))


def stock_config(model: nn.Module) -> Any:
    """The model's configuration, in transformers' own class."""
    config: Any = model.config
    found = stock_class(config).from_dict({k: v for k, v in config.to_dict().items() if k not in OURS})
    found.architectures = [stock_class(model).__name__]
    found._attn_implementation_internal = config._attn_implementation
    return found


def built_config(model: nn.Module) -> Any:
    """The configuration of the stock model that this one was pruned from: of a hidden size that its heads divide."""
    config = stock_config(model)
    for field, value in built_fields(model).items():
        setattr(config, field, value)
    return config


def built_fields(model: nn.Module) -> dict[str, Any]:
    """Field of the configuration -> its value in the stock model, where the hidden size was pruned."""
    record: Any = getattr(model.config, "trimformer", None) or {}
    return dict(record.get("config", {}))
