"""Wrappers of a block's linears and norms: each keeps the wrapped module as `base_layer` and adds an adapter."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from compress.core.errors import StageFailed
from finetune.inserted.adapters.bottleneck import Bottleneck

__all__ = ["InputCache", "InputRecorder", "NormAdapter", "ParallelAdapter", "SeriesAdapter"]


class _Wrapper(nn.Module):
    """Module that replaces another and calls it."""

    def __init__(self, base_layer: nn.Module):
        super().__init__()
        self.base_layer = base_layer

    # T5 reads the dtype of a linear's weight before it calls the linear.
    @property
    def weight(self) -> Any:
        return self.base_layer.weight

    @property
    def bias(self) -> Any:
        return getattr(self.base_layer, "bias", None)


class SeriesAdapter(_Wrapper):
    """Adapter in series after a linear with output y: y + adapter(y), with the adapter's own residual."""

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck):
        super().__init__(base_layer)
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base_layer(x)
        return y + self.adapter(y).to(y.dtype)


class NormAdapter(_Wrapper):
    """Adapter between two applications of a norm: norm(s + adapter(norm(s))), s a sub-layer's residual sum."""

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck):
        super().__init__(base_layer)
        self.adapter = adapter

    def forward(self, s: Tensor) -> Tensor:
        normed: Tensor = self.base_layer(s)
        again: Tensor = self.base_layer(s + self.adapter(normed).to(s.dtype))
        return again


class InputCache(nn.Module):
    """Input of a sub-layer's first linear, until the last linear takes it; a child of both."""

    def __init__(self) -> None:
        super().__init__()
        self.value: Tensor | None = None

    def take(self) -> Tensor:
        """The value, which is then forgotten, so that no graph outlives its step.

        Raises:
            StageFailed: the first linear did not run since the last time.
        """
        value, self.value = self.value, None
        if value is None:
            raise StageFailed("a parallel adapter's input is missing: the model runs its linears in another order")
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "value": None}


class InputRecorder(_Wrapper):
    """First linear of a sub-layer, with a record of its input."""

    def __init__(self, base_layer: nn.Module, cache: InputCache):
        super().__init__(base_layer)
        self.cache = cache

    def forward(self, x: Tensor) -> Tensor:
        self.cache.value = x
        found: Tensor = self.base_layer(x)
        return found


class ParallelAdapter(_Wrapper):
    """Adapter parallel to a sub-layer: y + adapter(x), x the first linear's input, y the last linear's output."""

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck, cache: InputCache):
        super().__init__(base_layer)
        self.adapter, self.cache = adapter, cache

    def forward(self, inner: Tensor) -> Tensor:
        x = self.cache.take()
        y: Tensor = self.base_layer(inner)
        return y + self.adapter(x).to(y.dtype)
