"""Gradual pruning: masks that cut more and more of the weights while a model is trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.model.bundle import Bundle
from compress.core.model.masks import Masks
from compress.core.model.matrices import Matrix, block_matrices
from compress.core.stage.context import Context
from compress.core.stage.during import DuringHook
from compress.prune.gradual.ramp import Ramp
from compress.prune.selection import kept_count
from compress.prune.weights.criterion import WeightScoreCriterion
from compress.prune.weights.mask import Mask
from compress.prune.weights.plan import WeightPlan

__all__ = ["GradualMasks", "GradualPruning"]


class GradualMasks(DuringHook):
    """Masks the lowest scores anew every so many steps, exactly as many as the schedule says; what is cut stays cut.

    From the first step after the schedule's end, the masks stay as they are. They are the bundle's from the beginning,
    so that the training itself holds them.

    Args:
        bundle: is trained; its masks are replaced.
        ramp: how much, when.

    Raises:
        InputError: the final sparsity cannot be reached: more is cut already, or a matrix would be left empty.
    """

    def __init__(self, bundle: Bundle, ramp: Ramp):
        self.bundle, self.ramp = bundle, ramp
        self.matrices = block_matrices(bundle)
        self.settled = False
        self.steps = self.cuts = self.after = 0
        """Steps between the schedule's start and end, cuts, and steps after the end."""
        self._try_out()

    def before_step(self, model: nn.Module, progress: float) -> None:
        if not self.settled and self.ramp.over(progress):
            self.settle()
        elif not self.settled and self.ramp.begun(progress):
            if self.steps % self.ramp.every == 0:
                self.cut(progress)
                self.cuts += 1
            self.steps += 1
        self.after += self.settled

    @abstractmethod
    def scores(self) -> dict[str, Tensor]:
        """Name -> a score (out, in) for each weight, as the weights are now."""

    def cut(self, progress: float) -> None:
        """Mask as much as the schedule has now."""
        self.put(self.masks(self.ramp.sparsity(progress), self.scores()))

    def settle(self) -> None:
        """Make the masks final: exactly the last sparsity."""
        self.put(self.masks(self.ramp.last, self.scores()))
        self.cuts, self.settled = self.cuts + 1, True

    def put(self, masks: Masks) -> None:
        self.bundle.masks = {**self.bundle.masks, **masks}

    def masks(self, sparsity: float, scores: Mapping[str, Tensor]) -> Masks:
        """The masks at a sparsity. Matrices that an earlier stage made as sparse already are left out.

        Args:
            sparsity: share of the weights that is cut, from 0 to 1, with what earlier masks cut.
            scores: name of a parameter -> importance of its weights, (out, in).
        """
        plan = self.ramp.plan(sparsity)
        if plan is None:
            return {}
        self.bundle.masks = {name: mask.to(self.bundle.device) for name, mask in self.bundle.masks.items()}
        wide = [name for group in self._groups() if self._is_wider(group, plan) for name in group]
        return plan.masks(self.bundle, {name: scores[name] for name in wide}) if wide else {}

    def finish(self) -> dict[str, Any]:
        """Masks become what the bundle remembers as a change."""
        if not self.settled:
            self.settle()
        masks = {name: self._mask(name) for name in self.matrices}
        self.bundle.changed_by(Mask.of(masks))
        kept, of = sum(int(mask.sum()) for mask in masks.values()), sum(mask.numel() for mask in masks.values())
        return {"sparsity": round(1 - kept / of, 6), "cuts": self.cuts, "steps_at_final": self.after}

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"counts": torch.tensor([self.steps, self.cuts, self.after, self.settled], dtype=torch.int64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.steps, self.cuts, self.after, settled = state["counts"].tolist()
        self.settled = bool(settled)

    def _groups(self) -> Iterator[list[str]]:
        """The names of those that compete."""
        found: dict[str, list[str]] = {}
        for name, part in self.matrices.items():
            key = {"uniform": name, "per_type": part.type, "global": ""}[self.ramp.allocation]
            found.setdefault(key, []).append(name)
        yield from found.values()

    def _is_wider(self, names: list[str], plan: WeightPlan) -> bool:
        """Whether masks of now leave more of a group than the plan does."""
        matrices = {name: self.matrices[name] for name in names}
        before = plan.before(self.bundle, matrices)
        units = {name: part.weight.numel() // plan.pattern.unit() for name, part in matrices.items()}
        left = sum(plan.pattern.left(before[name]) if name in before else units[name] for name in names)
        return kept_count(sum(units.values()), plan.sparsity) < left

    def _try_out(self) -> None:
        """The last cut, on the weights as they are, so that what cannot be is found before the training."""
        plan = self.ramp.plan(self.ramp.last)
        if plan is not None:
            plan.masks(self.bundle, {name: _size(part) for name, part in self.matrices.items()})

    def _mask(self, name: str) -> Tensor:
        """All ones where so little was asked that nothing of a matrix was cut."""
        weight = self.bundle.model.get_parameter(name)
        return self.bundle.masks.get(name, torch.ones_like(weight, dtype=torch.bool))


class GradualPruning(GradualMasks):
    """Gradual pruning by a criterion that needs no data: its scores are taken anew at each cut.

    Args:
        bundle: is trained; its masks are replaced.
        ramp: how much, when.
        criterion: scores the weights.
        ctx: for the criterion.

    References:
        Zhu and Gupta 2017, arXiv 1710.01878, section 3.
    """

    def __init__(self, bundle: Bundle, ramp: Ramp, criterion: WeightScoreCriterion, ctx: Context):
        self.criterion, self.ctx = criterion, ctx
        super().__init__(bundle, ramp)

    def scores(self) -> dict[str, Tensor]:
        return self.criterion.score_weights(self.bundle, self.matrices, self.ctx)


def _size(part: Matrix) -> Tensor:
    return part.weight.abs()
