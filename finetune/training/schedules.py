"""Learning rates by parameter group: their schedules, and gradual unfreezing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from compress.core.errors import InputError
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import Rate, TrainPlan
from finetune.processes import current

__all__ = ["Joining", "Pace", "slanted_triangle"]

RATIO = 32
"""How much smaller the lowest rate of the slanted triangle is than the highest."""


def slanted_triangle(step: int, *, total: int, cut: float, ratio: float = RATIO) -> float:
    """Slanted triangular schedule, as a factor of the highest rate: linear warm-up, then linear decay.

        eta(t) = (1 + p (ratio - 1)) / ratio,  p = t / c for t < c, else (T - t) / (T - c),  c = floor(T cut)

    The paper's denominator c (1/cut - 1) is T - c where T cut is whole; elsewhere it would make p negative.

    Args:
        step: from 0.
        total: optimiser steps of the training.
        cut: share of the steps in the warm-up, 0 to 1.
        ratio: of the highest rate to the lowest.

    References:
        Howard and Ruder 2018, arXiv 1801.06146, equation 3.
    """
    top = int(total * cut)
    share = step / top if step < top else max(0, total - step) / max(1, total - top)
    return (1 + share * (ratio - 1)) / ratio


@dataclass
class Pace:
    """Learning rates of a fit by parameter, and their schedule, where the plan's one rate is not all.

    Attributes:
        rates: parameter -> its rate; the others learn at the plan's.
        cut: of the slanted triangle, or None where the plan has another schedule.
    """

    rates: Mapping[str, Rate]
    cut: float | None = None
    groups: list[Rate] = field(default_factory=list)
    """The rate of each of the optimiser's groups; set by `regroup`."""

    @classmethod
    def of(cls, plan: TrainPlan, rates: Mapping[str, Rate]) -> Pace | None:
        """None where transformers' own schedules say it all."""
        slanted = plan.schedule == "slanted_triangle"
        return cls(dict(rates), plan.warmup or 0.0 if slanted else None) if rates or slanted else None

    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be taken up."""
        return {"rates": {name: [r.scale, r.start, r.warmup] for name, r in sorted(self.rates.items())}}

    def regroup(self, optimizer: Any, model: nn.Module) -> None:
        """Split the optimiser's groups, which differ in decay, by rate too."""
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        groups: list[dict[str, Any]] = []
        self.groups = []
        for group in optimizer.param_groups:
            members: dict[Rate, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                members.setdefault(self.rates.get(names[id(parameter)], Rate()), []).append(parameter)
            for rate, parameters in members.items():
                groups.append({**group, "params": parameters, "lr": group["lr"] * rate.scale})
                self.groups.append(rate)
        optimizer.param_groups = groups

    def scheduler(self, common: LambdaLR, total: int) -> LambdaLR:
        """The learning rate of each group over `total` steps.

        Args:
            common: transformers' scheduler of the plan, on the optimiser that `regroup` has split.
            total: optimiser steps of the training.
        """
        shape = common.lr_lambdas[0] if self.cut is None else self._slanted(total)
        return LambdaLR(common.optimizer, [_scheduled(shape, rate, total) for rate in self.groups])

    def _slanted(self, total: int) -> Callable[[int], float]:
        cut = self.cut or 0.0
        return lambda step: slanted_triangle(step, total=total, cut=cut)


def _scheduled(common: Callable[[int], float], rate: Rate, total: int) -> Callable[[int], float]:
    return lambda step: common(step) * rate.factor(step / max(1, total))


class Joining(Hook):
    """Gradual unfreezing: each parameter is frozen until its rate starts, and is added to the optimiser then.

    Raises:
        InputError: several processes train together, which must agree on the parameters from the start.
    """

    def __init__(self, rates: Mapping[str, Rate]):
        if current().count > 1:
            raise InputError("unfreezing works in one process only", advice="train without a launcher")
        self.rates = rates

    def before_step(self, model: nn.Module, progress: float) -> None:
        for name, parameter in model.named_parameters():
            if name in self.rates:
                parameter.requires_grad_(self.rates[name].joined(progress))
