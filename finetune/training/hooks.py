"""Hooks of every fit: the loss record, masks held at zero, the best weights of an early stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from compress.core.errors import NonFiniteLoss
from compress.core.fit.hooks import Hook
from compress.core.fit.protocol import CURVE_POINTS
from compress.core.model.bundle import Bundle
from compress.core.model.masks import masked_parameters, pack, unpack
from finetune.processes import ALONE, Processes

__all__ = ["EarlyStop", "HeldMasks", "Seen"]

CHECK_EVERY = 25
"""Steps between reads of the losses of a GPU, each of which synchronizes with it."""


class Seen(Hook):
    """Loss of every step, tokens and seconds; survives an interruption, so that a report does not show one.

    Of several processes, the loss is the mean of theirs, and the tokens are those of all.

    Args:
        at_once: read each loss as it comes (a CPU has it already), else every `CHECK_EVERY` steps.
        processes: who divides the rows of each step.
    """

    def __init__(self, name: str, *, at_once: bool, processes: Processes = ALONE):
        self.name, self.at_once, self.processes = name, at_once, processes
        self.losses: list[float] = []
        self.tokens = self.squared = 0
        self.own = np.zeros(2)
        self.seconds = 0.0
        self.started = time.perf_counter()
        self.waiting: list[tuple[Tensor, Tensor, float]] = []
        self.step: list[tuple[Tensor, Tensor]] = []

    def add_batch(self, loss: Tensor, row_ids: Tensor, *, rows: int, length: int) -> None:
        """One batch: its share of the step's loss."""
        self.step.append((loss, row_ids))
        self.own += rows * length, rows * length * length

    def add_step(self, learning_rate: float) -> None:
        """All batches of one optimiser step were added. Call before the step moves the weights."""
        losses, rows = zip(*self.step, strict=True)
        self.waiting.append((torch.stack(losses).sum(), torch.cat(rows), learning_rate))
        self.step = []
        if self.at_once or len(self.waiting) >= CHECK_EVERY:
            self.look()

    def look(self) -> None:
        """Take in the waiting losses.

        Raises:
            NonFiniteLoss: one of them is NaN or infinite.
        """
        if not self.waiting:
            return
        for value, (_, rows, learning_rate) in zip(self._values(), self.waiting, strict=True):
            if not abs(value) < float("inf"):
                row_ids = [row for each in self.processes.gathered(rows.tolist()) for row in each]
                raise not_finite(self.name, value, len(self.losses) + 1, row_ids, learning_rate)
            self.losses.append(value)
        self.waiting = []

    def _values(self) -> list[float]:
        """The waiting losses as means over the processes, so that each of them has one that is not finite."""
        losses = torch.stack([loss for loss, _, _ in self.waiting]).double().cpu().numpy()
        *summed, tokens, squared = self.processes.total(np.concatenate([losses, self.own]))
        self.tokens, self.squared, self.own = self.tokens + int(tokens), self.squared + int(squared), np.zeros(2)
        return [float(value) / self.processes.count for value in summed]

    def total_seconds(self) -> float:
        return self.seconds + time.perf_counter() - self.started

    def curve(self) -> list[float]:
        """Means of the losses over equal stretches of the steps; the last one is the loss at the end."""
        if not self.losses:
            return []
        parts = torch.tensor(self.losses, dtype=torch.float64).tensor_split(min(CURVE_POINTS, len(self.losses)))
        return [round(float(part.mean()), 5) for part in parts]

    def state_dict(self) -> Mapping[str, Tensor]:
        self.look()
        return {
            "losses": torch.tensor(self.losses, dtype=torch.float32),
            "tokens": torch.tensor([self.tokens, self.squared], dtype=torch.int64),
            "seconds": torch.tensor(self.total_seconds(), dtype=torch.float64),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.losses = state["losses"].tolist()
        self.tokens, self.squared = (int(value) for value in state["tokens"])
        self.seconds = float(state["seconds"])


def not_finite(name: str, value: float, step: int, rows: list[int], learning_rate: float) -> NonFiniteLoss:
    """Error for a loss that is NaN or infinite.

    Args:
        name: of the fit.
        value: the loss.
        step: optimiser step, from 1.
        rows: row ids of the step.
        learning_rate: of the step.
    """
    return NonFiniteLoss(
        f"the loss became {value} in step {step} at a learning rate of {learning_rate:.3g}; "
        f"row ids of the batch: {', '.join(map(str, rows))}",
        where=name,
        advice="lower `learning_rate:`, raise `warmup:`, try `precision: fp32`, and look at these rows",
    )


class HeldMasks(Hook):
    """Masked weights held at zero in training, with zero gradients for clipping and for the optimiser's state too.

    Masks that training changes survive an interruption.
    """

    def __init__(self, bundle: Bundle):
        self.bundle = bundle
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    def before_step(self, model: nn.Module, progress: float) -> None:
        # Masks may have changed since the last step; what has not moved needs no second look.
        if any(self._known.get(name, (None,))[0] is not mask for name, mask in self.bundle.masks.items()):
            self._hold(model)

    def after_backward(self, model: nn.Module, progress: float) -> None:
        for parameter, factor in self._factors(model):
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    def after_step(self, model: nn.Module, progress: float) -> None:
        self._hold(model)

    def state_dict(self) -> Mapping[str, Tensor]:
        return {name: pack(mask) for name, mask in self.bundle.masks.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.bundle.masks = {
            name: unpack(bits, self._shape(name)).to(self.bundle.device) for name, bits in state.items()
        }

    def _shape(self, name: str) -> torch.Size:
        known = self.bundle.masks.get(name)
        return self.bundle.model.get_parameter(name).shape if known is None else known.shape

    @torch.no_grad()
    def _hold(self, model: nn.Module) -> None:
        for parameter, factor in self._factors(model):
            parameter.mul_(factor)

    def _factors(self, model: nn.Module) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Each masked parameter that moves, and ones and zeros of its shape."""
        for name, parameter in masked_parameters(model, self.bundle.masks):
            if parameter.requires_grad:
                yield parameter, self._factor(name, parameter)

    def _factor(self, name: str, parameter: nn.Parameter) -> Tensor:
        mask = self.bundle.masks[name]
        known = self._known.get(name)
        if known is None or known[0] is not mask or known[1].device != parameter.device:
            # A CPU multiplies by booleans twenty times slower than by numbers.
            dtype = parameter.dtype if parameter.device.type == "cpu" else torch.bool
            known = self._known[name] = (mask, mask.to(parameter.device, dtype))
        return known[1]


class EarlyStop(Hook):
    """Early stop after `patience` epochs without a gain on *select*; the best weights are restored at the end.

    Args:
        score: the metric of the model as it is, higher is better.
        names: the parameters that training moves, sooner or later.
    """

    def __init__(self, patience: int, score: Callable[[], float], names: frozenset[str]):
        self.patience, self.score, self.names = patience, score, names
        self.scores: list[float] = []
        self.best: dict[str, Tensor] = {}

    @property
    def best_epoch(self) -> int:
        """Counted from 1; the first of equals."""
        return 1 + max(range(len(self.scores)), key=lambda epoch: (self.scores[epoch], -epoch))

    def end_of_epoch(self, model: nn.Module) -> bool:
        """Score the model; whether training should stop."""
        self.scores.append(self.score())
        if self.best_epoch == len(self.scores):
            self.best = {name: p.detach().cpu().clone() for name, p in model.named_parameters() if name in self.names}
        return len(self.scores) - self.best_epoch >= self.patience

    @torch.no_grad()
    def restore(self, model: nn.Module) -> None:
        """Put the best weights back."""
        parameters = dict(model.named_parameters())
        for name, value in self.best.items():
            parameters[name].copy_(value)

    def state_dict(self) -> Mapping[str, Tensor]:
        best = {f"best.{name}": value for name, value in self.best.items()}
        return {**best, "scores": torch.tensor(self.scores, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.scores = state["scores"].tolist()
        self.best = {name.removeprefix("best."): value for name, value in state.items() if name.startswith("best.")}
