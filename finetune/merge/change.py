"""The record that a tuning was folded into the weights, so that nothing of it stands beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from compress.core.model.change import Change

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = ["Merged"]


class Merged(Change):
    """The model has the shape of its base again; `to` says how its linears are stored."""

    to: Literal["dense", "quantized"] = "dense"
    method: str = ""

    def apply(self, bundle: Bundle) -> Bundle:
        return bundle
