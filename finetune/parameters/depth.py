"""Parameter groups by depth, from head to embeddings, for layer-wise learning rates and gradual unfreezing."""

from __future__ import annotations

import math

from torch import nn

from compress.core.fit.plan import Rate, TrainPlan
from compress.core.model.bundle import Bundle
from finetune.parameters.names import head_names

__all__ = ["by_depth", "rates_by_depth"]


def by_depth(bundle: Bundle) -> list[frozenset[str]]:
    """Parameter groups from the top down: the head, the last block, ..., the first block, the embeddings.

    Modules above the blocks (a pooler, a final norm, a decoder) go with the head; every embedding outside of the
    blocks, and modules below them, with the embeddings.
    """
    model = bundle.model
    blocks = [{id(p) for p in block.parameters()} for block in bundle.family.module_list(model)]
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    head = head_names(bundle)
    groups: list[set[str]] = [set() for _ in range(len(blocks) + 2)]
    below = True
    for name, parameter in model.named_parameters():
        place = next((number for number, block in enumerate(blocks) if id(parameter) in block), None)
        if place is not None:
            below = False
            groups[len(blocks) - place].add(name)
        else:
            lowest = name not in head and (below or id(parameter) in tables)
            groups[-1 if lowest else 0].add(name)
    return [frozenset(group) for group in groups]


def rates_by_depth(
    groups: list[frozenset[str]], *, decay: float, at_once: int | None, plan: TrainPlan
) -> dict[str, Rate]:
    """Learning rate of each parameter: `decay` to the power of its depth; with `at_once`, gradual unfreezing.

    Where the plan counts steps instead of epochs, the groups are unfrozen at equal distances.

    Args:
        groups: names, top first.
        decay: factor from one group to the next below, above 0 and at most 1.
        at_once: groups unfrozen at each epoch; None trains all from the start.
        plan: complete.
    """
    joins = math.ceil(len(groups) / at_once) if at_once else 1
    epoch = 1 / joins if plan.max_steps is not None else 1 / (plan.epochs or 1)
    found: dict[str, Rate] = {}
    for depth, names in enumerate(groups):
        start = (depth // at_once) * epoch if at_once else 0.0
        # A group that is unfrozen later has a fresh optimiser state, whose first steps are long.
        rate = Rate(decay**depth, start, (plan.warmup or 0.0) * epoch if start else 0.0)
        found |= dict.fromkeys(names, rate)
    return found
