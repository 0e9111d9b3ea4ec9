"""Features of a row that the rest of a model follows from, and the rest run on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import accepted
from compress.core.stage.task import answering

__all__ = ["Reader", "forwards_replaced", "last_places"]

TOLERANCE = 1e-3


class Reader(ABC):
    """Takes the features out of a forward pass, and runs what is trained on such features.

    Args:
        bundle: the model.
        names: the parameters that are trained.
    """

    unit: ClassVar[str]
    advice: ClassVar[str]
    """What of a row the head may read one of, and what to do where it reads more."""

    def __init__(self, bundle: Bundle, names: frozenset[str]):
        self.model = bundle.model
        self.accepted = accepted(bundle.model)
        self.parameters = sum(bundle.model.get_parameter(name).numel() for name in names)

    @abstractmethod
    def read(self, inputs: dict[str, Tensor]) -> Tensor:
        """The features of each row, (rows, ...); `StageFailed` where the first logits do not follow from them."""

    @abstractmethod
    def answer(self, model: nn.Module, features: Tensor) -> dict[str, Tensor]:
        """The logits, by name, for these features; `model` is the bundle's, wrapped or not."""

    def logits(self, model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of the model by name, given what of `inputs` it takes."""
        return answering(model(**{name: value for name, value in inputs.items() if name in self.accepted}))

    def right(self, candidates: Sequence[Tensor], logits: dict[str, Tensor]) -> int:
        """Index of the first features that give these logits; `StageFailed` where none do."""
        for index, features in enumerate(candidates):
            apart = _difference(self.answer(self.model, features), logits)
            if apart is None:
                return index
        what = f"the head of {type(self.model).__name__} reads more of a row than one {self.unit}"
        raise StageFailed(what, given=apart, advice=self.advice)


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float | None:
    """The largest difference of two models' logits; None within `TOLERANCE`, infinite where their shapes differ."""
    if any(one[name].shape != value.shape for name, value in other.items()):
        return float("inf")
    if all(torch.allclose(one[name], value, atol=TOLERANCE, rtol=TOLERANCE) for name, value in other.items()):
        return None
    return max(float((one[name] - value).abs().max()) for name, value in other.items())


def last_places(inputs: dict[str, Tensor]) -> Tensor:
    """The place of each row's last token that is no padding."""
    mask = inputs["attention_mask"]
    return (torch.arange(mask.shape[1], device=mask.device) * mask).argmax(1)


@contextmanager
def forwards_replaced(modules: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Inside a `with`, `forward` stands in place of that of each module."""
    before = [module.__dict__.get("forward") for module in modules]
    for module in modules:
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module, old in zip(modules, before, strict=True):
            del module.__dict__["forward"]
            if old is not None:
                module.__dict__["forward"] = old
