"""AdaLoRA's allocation of ranks during training.

Zhang et al. 2023, arXiv 2303.10512, section 3 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.fit.hooks import Hook
from compress.core.fit.protocol import Objective
from compress.core.model.evaluation import Batch
from finetune.inserted.lora.insertion import ADAPTER, inserted_layers

__all__ = ["Allocation", "Orthogonal", "budget", "keep_largest", "orthogonality", "triplet", "triplet_scores"]

Triplet = tuple[Tensor, Tensor, Tensor]
"""A (rank, in), E (rank, 1), B (out, rank)."""


def budget(progress: float, *, start: int, end: int, tinit: float, tfinal: float) -> int:
    """Total number of triplets: `start`, then a cubic decay, then `end`; equation 12.

    Args:
        progress: share of the steps done.
        start, end: before and after.
        tinit, tfinal: shares of the steps at the beginning and at the end in which it does not change.
    """
    if progress <= tinit:
        return start
    left = max(0.0, 1 - (progress - tinit) / (1 - tfinal - tinit))
    # A share that is exact in steps must not lose one to rounding.
    return int(end + (start - end) * left**3 + 1e-6)


def triplet_scores(importance: Triplet) -> Tensor:
    """(rank,): importance of each triplet, that of E's entry plus the means over A's row and B's column; equation 7."""
    low, middle, up = importance
    return middle.flatten() + low.mean(dim=1) + up.mean(dim=0)


def keep_largest(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Path -> (rank,) bool, True for the `count` highest scores of all; of equals the first.

    Args:
        scores: path -> (rank,), importance of the triplets.
        count: triplets to keep in the whole model.
    """
    order = torch.cat(list(scores.values())).argsort(descending=True, stable=True)
    kept = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    kept[order[:count]] = True
    return dict(zip(scores, kept.split([len(score) for score in scores.values()])))


def orthogonality(triplets: list[Triplet]) -> Tensor:
    """Orthogonality penalty: mean of |A A' - 1| and |B' B - 1|, Frobenius; eq. 4 without the square, as released."""
    grams = [gram for low, _, up in triplets for gram in (low @ low.T, up.T @ up)]
    return torch.stack([torch.linalg.matrix_norm(gram - torch.eye(len(gram)).to(gram)) for gram in grams]).mean()


class Orthogonal:
    """Objective with `weight` times the orthogonality penalty added.

    Args:
        objective: the task's.
        model: with AdaLoRA's layers in it.
        weight: the paper's gamma.
    """

    def __init__(self, objective: Objective, model: nn.Module, *, weight: float):
        self.objective, self.weight = objective, weight
        self.layers = list(inserted_layers(model).values())

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        loss = self.objective(model, batch)
        with torch.autocast(loss.device.type, enabled=False):
            return loss + self.weight * orthogonality([triplet(layer) for layer in self.layers])


class Allocation(Hook):
    """Gradual pruning of the least important triplets, by setting their entry of E to zero.

    Importance is smoothed sensitivity |w g| times its smoothed uncertainty (eqs. 9 to 11), from the unclipped gradient
    at the weights before the step; the triplets are masked after it, as in algorithm 1. In the last `tfinal` of the
    steps the choice stands.

    Args:
        model: with AdaLoRA's layers in it.
        target_rank: mean rank at the end.
        tinit, tfinal: shares of the steps.
        interval: steps between two allocations.
        beta1, beta2: smoothing of sensitivity and of uncertainty.
    """

    def __init__(
        self, model: nn.Module, *, target_rank: int, tinit: float, tfinal: float, interval: int, beta1: float,
        beta2: float,
    ):  # fmt: skip
        self.layers = inserted_layers(model)
        self.start = sum(len(triplet(layer)[1]) for layer in self.layers.values())
        self.end = target_rank * len(self.layers)
        self.tinit, self.tfinal, self.interval = tinit, tfinal, interval
        self.betas = beta1, beta2
        self.steps = 0
        self.sensitivity: dict[str, Tensor] = {}
        self.uncertainty: dict[str, Tensor] = {}
        self.kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def after_backward(self, model: nn.Module, progress: float) -> None:
        if self._over(progress):
            return
        for path, layer in self.layers.items():
            for letter, parameter in zip("AEB", triplet(layer)):
                if parameter.grad is not None:
                    self._update(f"{path}.{letter}", (parameter * parameter.grad).abs())

    @torch.no_grad()
    def after_step(self, model: nn.Module, progress: float) -> None:
        self.steps += 1
        over = self._over(progress)
        if over and self.kept:
            self._mask(self.kept)
        elif over or (progress > self.tinit and self.steps % self.interval == 0):
            count = budget(progress, start=self.start, end=self.end, tinit=self.tinit, tfinal=self.tfinal)
            kept = keep_largest(self._scores(), count)
            self._mask(kept)
            self.kept = kept if over else {}

    def state_dict(self) -> Mapping[str, Tensor]:
        parts = {"sensitivity": self.sensitivity, "uncertainty": self.uncertainty, "kept": self.kept}
        flat = {f"{part}:{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
        return {"steps": torch.tensor(self.steps), **flat}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.steps = int(state["steps"])
        parts = {"sensitivity": self.sensitivity, "uncertainty": self.uncertainty, "kept": self.kept}
        for tensors in parts.values():
            tensors.clear()
        for name, tensor in state.items():
            part, _, path = name.partition(":")
            if path:
                parts[part][path] = tensor

    def _over(self, progress: float) -> bool:
        return progress >= 1 - self.tfinal - 1e-9

    def _update(self, name: str, now: Tensor) -> None:
        beta1, beta2 = self.betas
        zeros = torch.zeros_like(now)
        mean = self.sensitivity.get(name, zeros).to(now) * beta1 + now * (1 - beta1)
        spread = self.uncertainty.get(name, zeros).to(now) * beta2 + (now - mean).abs() * (1 - beta2)
        self.sensitivity[name], self.uncertainty[name] = mean, spread

    def _scores(self) -> dict[str, Tensor]:
        scores = {}
        for path, layer in self.layers.items():
            low, middle, up = (
                self.sensitivity[name] * self.uncertainty[name]
                if (name := f"{path}.{letter}") in self.sensitivity
                else torch.zeros_like(parameter)
                for letter, parameter in zip("AEB", triplet(layer))
            )
            scores[path] = triplet_scores((low, middle, up))
        return scores

    def _mask(self, kept: Mapping[str, Tensor]) -> None:
        for path, layer in self.layers.items():
            middle = triplet(layer)[1]
            middle.mul_(kept[path].to(middle)[:, None])


def triplet(layer: Any) -> Triplet:
    """A, E and B of one of PEFT's AdaLoRA layers."""
    return layer.lora_A[ADAPTER], layer.lora_E[ADAPTER], layer.lora_B[ADAPTER]
