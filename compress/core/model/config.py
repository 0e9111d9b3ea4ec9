"""The stock configuration of a model: as transformers' own classes hold it, without what is ours."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["OURS", "built_config", "built_fields", "stock_class", "stock_config"]

OURS = ("model_type", "auto_map", "trimformer", "transformers_version")
"""The fields of a configuration that a stock one is without."""


def stock_class(value: object) -> Any:
    """transformers' own class behind a model or a configuration."""
    return next(cls for cls in type(value).__mro__ if cls.__module__.startswith("transformers."))


def stock_config(model: nn.Module) -> Any:
    """The model's configuration as transformers' own class holds it."""
    config: Any = model.config
    found = stock_class(config).from_dict({k: v for k, v in config.to_dict().items() if k not in OURS})
    found.architectures = [stock_class(model).__name__]
    found._attn_implementation_internal = config._attn_implementation
    return found


def built_config(model: nn.Module) -> Any:
    """The configuration of the stock model that this one was cut from: of a width that its heads divide."""
    config = stock_config(model)
    for field, value in built_fields(model).items():
        setattr(config, field, value)
    return config


def built_fields(model: nn.Module) -> dict[str, Any]:
    """Field of the configuration -> the value that the stock model is built with, where the width was cut."""
    record: Any = getattr(model.config, "trimformer", None) or {}
    return dict(record.get("config", {}))
