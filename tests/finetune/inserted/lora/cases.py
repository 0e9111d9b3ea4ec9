"""Families by methods: a part in every run, the whole where slow tests run too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from finetune.method import Method
from finetune.methods.adalora import Adalora
from finetune.methods.dora import Dora
from finetune.methods.ia3 import Ia3
from finetune.methods.lora import Lora

__all__ = ["METHODS", "cases"]

METHODS: tuple[Method, ...] = (Lora(), Dora(), Ia3(), Adalora())
TELLING = ("bert", "gpt2")
"""A plain block, and a fused linear that is stored the other way."""


def cases(*families: str, methods: Iterable[Method] = METHODS, others: Iterable[Any] = ((),)) -> list[Any]:
    """(family, *other, method): LoRA on every family and every method on two of them at once; the others are slow."""
    return [
        pytest.param(
            family, *other, method, id="-".join((family, *other, method.name)),
            marks=() if family in TELLING or method.name == "lora" else pytest.mark.slow,
        )
        for family in families for other in others for method in methods
    ]  # fmt: skip
