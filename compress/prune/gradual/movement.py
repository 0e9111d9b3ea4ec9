"""Scores of weights that are learned in training: how far each moves away from zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.masks import Masks, pack, unpack
from compress.core.model.matrix import matrix
from compress.prune.gradual.hook import GradualMasks
from compress.prune.gradual.ramp import Ramp
from compress.prune.weights.mask import starting

__all__ = ["LearnedScores", "Soft", "adam_step", "penalty_gradient", "score_gradient"]

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Soft:
    """How scores are learned where a threshold cuts them.

    Attributes:
        threshold: of sigmoid(score), at the end of the way.
        penalty: lambda of the regulariser.
        learning_rate: of the scores.
    """

    threshold: float
    penalty: float
    learning_rate: float


def score_gradient(gradient: Float[Tensor, "..."], weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """dL/dS = dL/dW' W, where W' = W M(S) and M passes gradients straight through.

    Args:
        gradient: dL/dW', of the masked weight, which is not zero where the mask is.
        weight: W, before the mask.

    References:
        Sanh, Wolf and Rush 2020, arXiv 2005.07683, section 4.
    """
    return gradient * weight


def penalty_gradient(scores: Float[Tensor, "..."], penalty: float, count: int) -> Float[Tensor, "..."]:
    """d/dS of lambda ||sigmoid(S)||_1 / n.

    Args:
        scores: of one matrix.
        penalty: lambda.
        count: n, the scores of all matrices.
    """
    share = torch.sigmoid(scores)
    return share * (1 - share) * (penalty / count)


def adam_step(
    value: Float[Tensor, "..."],
    gradient: Float[Tensor, "..."],
    mean: Float[Tensor, "..."],
    square: Float[Tensor, "..."],
    *,
    learning_rate: float,
    step: int,
) -> None:
    """One step of Adam, in place, on a value and its two moments.

    Args:
        step: which one it is, from 1.

    References:
        Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.
    """
    mean.lerp_(gradient, 1 - BETAS[0])
    square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    scale = (square / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
    value.addcdiv_(mean, scale, value=-learning_rate / (1 - BETAS[0] ** step))


class LearnedScores(GradualMasks):
    """Movement pruning. The model computes with W M(S); W keeps its values, and what is cut may come back until the
    way ends. Then the masks are the bundle's, and the weights under them zero.

    hard: S <- S - dL/dS, and the highest scores stay. The rate is 1: another one makes no other order.
    soft: S learns by Adam, with the penalty; what lies under a threshold on sigmoid(S) is cut too, as long as no more
    is cut than at the end of the way. Threshold and penalty rise from 0 by the same schedule; the rate of S rises until
    the way begins, and falls to 0 at the end of the training, as the authors' code has it.
    """

    def __init__(self, bundle: Bundle, ramp: Ramp, *, soft: Soft | None = None):
        super().__init__(bundle, ramp)
        self.soft, self.learned, self.time = soft, 0, 0.0
        self.score: dict[str, Tensor] = {}
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}
        self.now: dict[str, Tensor] = {}
        """The masks of the forward pass, which are not the bundle's yet, as ones and zeros."""
        self.whole: dict[str, Tensor] = {}
        """The weights as they are, while the model has the masked ones."""

    def before_step(self, model: nn.Module, progress: float) -> None:
        super().before_step(model, progress)
        for name, factor in self.now.items():
            weight = self._weight(name)
            self.whole[name] = weight.data
            weight.data = weight.data * factor

    @torch.no_grad()
    def after_backward(self, model: nn.Module, progress: float) -> None:
        if self.settled:
            return
        self.learned += 1
        rate = self.rate(progress)
        count = sum(part.weight.numel() for part in self.matrices.values())
        for name in self.matrices:
            weight = self._weight(name)
            weight.data = self.whole.pop(name, weight.data)
            if weight.grad is not None:
                self._learn(name, score_gradient(weight.grad, weight.data), count, rate)
                if name in self.now:
                    weight.grad.mul_(self.now[name])

    def rate(self, progress: float) -> float:
        """How fast the scores learn when the share `progress` of all steps is done."""
        if self.soft is None:
            return 1.0
        start = self.ramp.start
        rising = progress / start if progress < start else 1.0
        return self.soft.learning_rate * min(rising, (1 - progress) / (1 - start))

    def scores(self) -> dict[str, Tensor]:
        return {name: matrix(part.linear, self._score(name)) for name, part in self.matrices.items()}

    def cut(self, progress: float) -> None:
        self.time = self.ramp.schedule.share(self.ramp.time(progress))
        self.now = self._factors(self.masks(self.ramp.sparsity(progress), self.scores()))

    def settle(self) -> None:
        super().settle()
        self.now, self.score, self.moments = {}, {}, {}

    def masks(self, sparsity: float, scores: Mapping[str, Tensor]) -> Masks:
        found = super().masks(sparsity, scores)
        if self.soft is None or sparsity >= self.ramp.last:
            return found
        most = super().masks(self.ramp.last, scores)
        threshold = self.soft.threshold * self.time
        for name, mask in most.items():
            part = self.matrices[name]
            above = matrix(part.linear, torch.sigmoid(self.ramp.pattern.by_unit(scores[name])) > threshold)
            found[name] = mask | (above & found.get(name, above))
        return found

    def state_dict(self) -> Mapping[str, Tensor]:
        moments = {name: torch.stack(pair) for name, pair in self.moments.items()}
        return {
            **super().state_dict(),
            "learned": torch.tensor(self.learned, dtype=torch.int64),
            **{f"score.{name}": score for name, score in self.score.items()},
            **{f"moments.{name}": pair for name, pair in moments.items()},
            **{f"mask.{name}": pack(factor != 0) for name, factor in self.now.items()},
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.learned, self.whole = int(state["learned"]), {}
        self.score = starting("score.", state)
        self.moments = {name: (pair[0], pair[1]) for name, pair in starting("moments.", state).items()}
        masks = starting("mask.", state)
        self.now = self._factors({name: unpack(bits, self._weight(name).shape) for name, bits in masks.items()})

    def _weight(self, name: str) -> nn.Parameter:
        weight = self.matrices[name].linear.weight
        if not isinstance(weight, nn.Parameter):
            raise StageFailed("this weight cannot be learned", given=name)
        return weight

    def _factors(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A CPU multiplies by booleans twenty times slower than by numbers."""
        dtype = torch.float32 if self.bundle.device.type == "cpu" else torch.bool
        return {name: mask.to(self.bundle.device, dtype) for name, mask in masks.items()}

    def _score(self, name: str) -> Tensor:
        """S of one matrix as its linear stores the weight; zeros at first."""
        weight = self._weight(name)
        score = self.score.get(name)
        self.score[name] = (torch.zeros_like(weight.data) if score is None else score).to(weight.device)
        return self.score[name]

    def _learn(self, name: str, gradient: Tensor, count: int, rate: float) -> None:
        score = self._score(name)
        if self.soft is None:
            score.sub_(gradient, alpha=rate)
            return
        mean, square = self.moments.get(name) or (torch.zeros_like(score), torch.zeros_like(score))
        self.moments[name] = mean, square = mean.to(score.device), square.to(score.device)
        gradient = gradient + penalty_gradient(score, self.soft.penalty * self.time, count)
        adam_step(score, gradient, mean, square, learning_rate=rate, step=self.learned)
