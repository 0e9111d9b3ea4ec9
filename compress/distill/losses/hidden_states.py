"""Hidden state loss: distance between the hidden states of student and teacher, token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from compress.core.errors import InputError
from compress.distill.layer_map import matched_layers
from compress.distill.loss import Loss, Seen

__all__ = ["HiddenStates", "cosine_distance", "mean_square"]

Hidden = Float[Tensor, "batch length width"]
Tokens = Bool[Tensor, "batch length"]


class HiddenStates(Loss):
    """Hidden state loss: distance between the states of student and teacher, averaged over tokens and pairs of layers.

    Padding is left out. There is no projection, so that both models must have the same hidden size.

    References:
        Sanh et al. 2019, arXiv 1910.01108, section 3; Jiao et al. 2020, arXiv 1909.10351, eq. 8.
    """

    on_tokens: ClassVar[bool] = True

    kind: Literal["cosine", "mean_square"] = Field("cosine", description="1 - cosine, or the squared difference")
    layers: Literal["last", "all"] | tuple[tuple[int, int], ...] = Field(
        "last",
        description="last: the last layers; all: each layer of the student, by TinyBERT's uniform layer map; or pairs"
        " [student's layer, teacher's layer] from 0",
    )

    def layer_pairs(self, student: int, teacher: int) -> tuple[tuple[int, int], ...]:
        if self.layers == "last":
            return ((student - 1, teacher - 1),)
        if self.layers == "all":
            return tuple(enumerate(matched_layers(student, teacher)))
        for pair in self.layers:
            if not (0 <= pair[0] < student and 0 <= pair[1] < teacher):
                what = f"hidden_states.layers names a layer outside the student's {student} or the teacher's {teacher}"
                raise InputError(what, given=list(pair))
        return self.layers

    def value(self, seen: Seen) -> Tensor:
        distance = _DISTANCES[self.kind]
        pairs = self.layer_pairs(len(seen.student_hidden), seen.teacher_layers)
        values = [distance(seen.student_hidden[s], seen.teacher_hidden[t], seen.tokens) for s, t in pairs]
        return torch.stack(values).mean()


def cosine_distance(student: Hidden, teacher: Hidden, tokens: Tokens) -> Float[Tensor, ""]:
    """Cosine loss: 1 - cos(student, teacher), averaged over the tokens; 0 where there is none.

    Args:
        student: hidden states of a layer.
        teacher: hidden states of the layer that it is matched with.
        tokens: True for the tokens that count; padding is False.

    References:
        Sanh et al. 2019, arXiv 1910.01108, section 3 (the loss on the direction of hidden states).
    """
    return _mean_over(1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1), tokens)


def mean_square(student: Hidden, teacher: Hidden, tokens: Tokens) -> Float[Tensor, ""]:
    """Mean squared error: (student - teacher)^2, averaged over the hidden size and the tokens; 0 where there is none.

    Args:
        student: hidden states of a layer.
        teacher: hidden states of the layer that it is matched with, of the same hidden size.
        tokens: True for the tokens that count; padding is False.

    References:
        Jiao et al. 2020, arXiv 1909.10351, eq. 8, without a projection: both widths are equal.
    """
    return _mean_over((student.float() - teacher.float()).square().mean(-1), tokens)


def _mean_over(values: Float[Tensor, "batch length"], tokens: Tokens) -> Float[Tensor, ""]:
    # where, not a product: padding may hold anything, also NaN, and NaN times 0 is NaN.
    return torch.where(tokens, values, 0.0).sum() / tokens.sum().clamp(min=1)


_DISTANCES: dict[str, Callable[[Hidden, Hidden, Tokens], Tensor]] = {
    "cosine": cosine_distance,
    "mean_square": mean_square,
}
