"""What stands around the linears and norms of a block: it keeps the module as `base_layer` and adds an adapter."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from compress.core.errors import StageFailed
from finetune.inserted.adapters.bottleneck import Bottleneck

__all__ = ["AroundNorm", "Behind", "Beside", "Reader", "Seen"]


class _Around(nn.Module):
    """A module in the place of another, which it runs."""

    def __init__(self, base_layer: nn.Module):
        super().__init__()
        self.base_layer = base_layer

    # T5 looks at the type of a linear's weight before it calls the linear.
    @property
    def weight(self) -> Any:
        return self.base_layer.weight

    @property
    def bias(self) -> Any:
        return getattr(self.base_layer, "bias", None)


class Behind(_Around):
    """y + adapter(y) of a linear's y: in series, with the adapter's own residual."""

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck):
        super().__init__(base_layer)
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base_layer(x)
        return y + self.adapter(y).to(y.dtype)


class AroundNorm(_Around):
    """norm(s + adapter(norm(s))) of the sum s of a sub-layer and its residual: the norm is used twice."""

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck):
        super().__init__(base_layer)
        self.adapter = adapter

    def forward(self, s: Tensor) -> Tensor:
        normed: Tensor = self.base_layer(s)
        again: Tensor = self.base_layer(s + self.adapter(normed).to(s.dtype))
        return again


class Seen(nn.Module):
    """What the first linear of a sub-layer was given, until the last one takes it; a child of both."""

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


class Reader(_Around):
    """The first linear of a sub-layer, which remembers what it was given."""

    def __init__(self, base_layer: nn.Module, seen: Seen):
        super().__init__(base_layer)
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        self.seen.value = x
        found: Tensor = self.base_layer(x)
        return found


class Beside(_Around):
    """y + adapter(x) of the last linear's y, where x is what the first linear of the sub-layer was given."""

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck, seen: Seen):
        super().__init__(base_layer)
        self.adapter, self.seen = adapter, seen

    def forward(self, inner: Tensor) -> Tensor:
        x = self.seen.take()
        y: Tensor = self.base_layer(inner)
        return y + self.adapter(x).to(y.dtype)
