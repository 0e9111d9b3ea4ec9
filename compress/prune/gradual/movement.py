"""Movement pruning: importance scores that are learned in training."""

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
from compress.prune.gradual.adam import ScoreAdam
from compress.prune.gradual.hook import GradualMasks
from compress.prune.gradual.ramp import Ramp
from compress.prune.weights.mask import starting

__all__ = ["LearnedScores", "Soft", "penalty_gradient", "score_gradient"]


@dataclass(frozen=True)
class Soft:
    """Soft movement pruning: scores below a threshold are cut.

    Attributes:
        threshold: of sigmoid(score), at the end of the sparsity schedule.
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


class LearnedScores(GradualMasks):
    """Movement pruning: the forward pass has W M(S), with a score S for each weight W that is learned beside it.

    W keeps its values, and what is cut may come back until the sparsity schedule ends. Then the masks are the bundle's,
    and the weights under them zero.

    hard: S <- S - dL/dS, and the highest scores stay. The learning rate is 1: another one makes no other order.
    soft: S learns by Adam, with the penalty; what lies under a threshold on sigmoid(S) is cut too, as long as no more
    is cut than at the schedule's end. Threshold and penalty rise from 0 by the same schedule; the learning rate of S
    warms up until the schedule starts, and falls to 0 at the end of the training, as the authors' code has it.

    Args:
        bundle: is trained; its masks are replaced at the end.
        ramp: how much is masked, when.
        soft: threshold, penalty and learning rate; hard movement where None.

    References:
        Sanh, Wolf and Rush 2020, arXiv 2005.07683, sections 4 and 5.
    """

    def __init__(self, bundle: Bundle, ramp: Ramp, *, soft: Soft | None = None):
        super().__init__(bundle, ramp)
        self.soft, self.learned, self.time = soft, 0, 0.0
        self.score: dict[str, Tensor] = {}
        self.adam = ScoreAdam()
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
        """The learning rate of the scores when the share `progress` of all steps is done."""
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
        self.now, self.score = {}, {}
        self.adam.clear()

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
        return {
            **super().state_dict(),
            "learned": torch.tensor(self.learned, dtype=torch.int64),
            **{f"score.{name}": score for name, score in self.score.items()},
            **self.adam.state_dict(),
            **{f"mask.{name}": pack(factor != 0) for name, factor in self.now.items()},
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.learned, self.whole = int(state["learned"]), {}
        self.score = {
            name: score.to(self._weight(name).device, copy=True) for name, score in starting("score.", state).items()
        }
        self.adam.load_state_dict(state, self.score, steps=state["learned"])
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
        if name not in self.score:
            self.score[name] = torch.zeros_like(self._weight(name).data)
        return self.score[name]

    def _learn(self, name: str, gradient: Tensor, count: int, rate: float) -> None:
        score = self._score(name)
        if self.soft is None:
            score.sub_(gradient, alpha=rate)
            return
        gradient = gradient + penalty_gradient(score, self.soft.penalty * self.time, count)
        self.adam.step(name, score, gradient, learning_rate=rate)
