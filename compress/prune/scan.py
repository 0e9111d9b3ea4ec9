"""Sensitivity analysis: the metric with some units or weights masked, layer by layer and all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.masks import masked_parameters
from compress.core.model.matrices import Excerpt, Matrix, block_matrices
from compress.core.stage.context import Context
from compress.prune.criterion import Criterion
from compress.prune.pattern import Pattern
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern
from compress.prune.units.selection import best_of_each
from compress.prune.weights.criterion import WeightCriterion, WeightScoreCriterion
from compress.prune.weights.mask import Mask
from compress.prune.weights.pattern import Scores, WeightPattern
from compress.prune.weights.plan import WeightPlan

__all__ = ["Probe", "Scoring", "label", "probes", "value_at"]

Kept = tuple[tuple[int, ...], ...]
Names = frozenset[str]


def label(pattern: Pattern) -> str:
    """Its name, with the settings that are not the usual ones: `n_m (n 1, m 8)`."""
    settings = ", ".join(f"{word} {value}" for word, value in pattern.dump().items())
    return f"{pattern.name} ({settings})" if settings else pattern.name


@dataclass(frozen=True)
class Probe:
    """One masking.

    Attributes:
        where: `layer 3`, a kind of blocks (`decoder`), a role of matrices (`query`), or `all`.
        sparsity: share of the units or weights there that is masked; 1 where a whole layer is.
        masked: within it the model computes without them; afterwards it is what it was, to the bit.
    """

    where: str
    sparsity: float
    masked: Callable[[], AbstractContextManager[None]]


@dataclass
class Scoring:
    """A criterion's scores of one bundle, taken once for each pattern of units, and once for all patterns of weights.

    Wanda and SparseGPT have no scores apart from a choice: each matrix is looked at with the inputs that those cut
    before it give. So they choose anew for each place and sparsity, as `prune` does where it cuts that place alone. By
    its definition SparseGPT cuts what the weights that stay can make up for, so the model has these as it adjusts them.

    Attributes:
        importance: by pattern, numbers to draw and to keep: the score of each unit, a list for each group; the mean
            score of each matrix, a list for each block, where weights have scores. Units' are not asked for again.
        columns: by pattern of weights, which matrix each number of such a list is of.
    """

    bundle: Bundle
    criterion: Criterion
    ctx: Context
    importance: dict[str, list[list[float]]] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)

    def of_units(self, pattern: UnitPattern) -> list[Float[Tensor, " units"]]:
        if label(pattern) not in self.importance:
            if not isinstance(self.criterion, UnitCriterion):
                raise TypeError(self.criterion.refuses(pattern, "uniform"))
            found = self.criterion.score(self.bundle, pattern, self.ctx)
            self.importance[label(pattern)] = [score.tolist() for score in found]
        return [torch.tensor(score) for score in self.importance[label(pattern)]]

    @cached_property
    def of_weights(self) -> Scores | None:
        """None where the criterion compares weights by more than a score of each, or moves them."""
        if not isinstance(self.criterion, WeightScoreCriterion):
            return None
        return self.criterion.score_weights(self.bundle, block_matrices(self.bundle), self.ctx)

    def mask(self, names: Names, plan: WeightPlan) -> Mask:
        """Which weights of these matrices stay.

        Args:
            names: parameters of the matrices that are pruned; the others stay whole.
            plan: the pattern, and how much of it.
        """
        scores = self.of_weights
        if scores is None:
            return self._mask_of_criterion(Excerpt.of(self.bundle, names), plan)
        self._note(label(plan.pattern), scores)
        return Mask.of(plan.masks(self.bundle, {name: score for name, score in scores.items() if name in names}))

    def _mask_of_criterion(self, bundle: Bundle, plan: WeightPlan) -> Mask:
        if not isinstance(self.criterion, WeightCriterion):
            raise TypeError(self.criterion.refuses(plan.pattern, "uniform"))
        return self.criterion.mask(bundle, plan, self.ctx)

    def _note(self, pattern: str, scores: Scores) -> None:
        if pattern in self.columns:
            return
        rows: dict[tuple[str, int], dict[str, float]] = {}
        for name, part in block_matrices(self.bundle).items():
            rows.setdefault(part.place, {})[", ".join(part.roles)] = float(scores[name].float().mean())
        self.importance[pattern] = [list(row.values()) for row in rows.values()]
        self.columns[pattern] = list(dict.fromkeys(role for row in rows.values() for role in row))


def probes(pattern: Pattern, scoring: Scoring, sparsities: Sequence[float]) -> Iterator[Probe]:
    """Each layer alone at each sparsity, each kind of blocks or role of matrices, and all at once.

    Args:
        pattern: what a unit is, or which weights go together.
        scoring: importance; the least important are masked, in each group or matrix the same share.
        sparsities: between 0 and 1.
    """
    match pattern:
        case WeightPattern():
            return _of_weights(pattern, scoring, sparsities)
        case UnitPattern():
            return _of_units(pattern, scoring, sparsities)
    raise TypeError(f"{pattern.name} is neither of units nor of weights")


def value_at(bundle: Bundle, probe: Probe, evaluate: Callable[[Bundle], float]) -> float:
    """What `evaluate` gives with the probe's units or weights masked; the model stays as it is.

    Args:
        bundle: whose model.
        probe: what is masked.
        evaluate: the metric of a bundle.
    """
    with probe.masked():
        return evaluate(bundle)


def _of_units(pattern: UnitPattern, scoring: Scoring, sparsities: Sequence[float]) -> Iterator[Probe]:
    sketch, scores = scoring.bundle.sketch(), scoring.of_units(pattern)
    counts, kinds = pattern.counts(sketch), pattern.kinds(sketch)
    whole: Kept = tuple(tuple(range(count)) for count in counts)
    chosen = {sparsity: best_of_each(scores, sparsity) for sparsity in sparsities}
    comparable = pattern.comparable(scores, sketch)
    common = {sparsity: best_of_each(comparable, sparsity) for sparsity in sparsities}

    def probe(where: str, sparsity: float, kept: Kept) -> Probe:
        return Probe(where, sparsity, partial(pattern.masked, scoring.bundle, kept))

    if len(counts) > 1:
        for group in range(len(counts)):
            for sparsity, kept in chosen.items():
                yield probe(_name(group, kinds), sparsity, (*whole[:group], kept[group], *whole[group + 1 :]))
    elif pattern.part == "layers":
        for layer in range(counts[0]):
            if layer not in pattern.fixed(sketch)[0]:
                yield probe(f"layer {layer}", 1.0, (tuple(n for n in whole[0] if n != layer),))
    for kind in dict.fromkeys(kinds) if len(set(kinds)) > 1 else ():
        for sparsity, kept in common.items():
            yield probe(kind, sparsity, tuple(k if each == kind else w for each, k, w in zip(kinds, kept, whole)))
    for sparsity, kept in common.items():
        yield probe("all", sparsity, kept)


def _of_weights(pattern: WeightPattern, scoring: Scoring, sparsities: Sequence[float]) -> Iterator[Probe]:
    for where, names in _places(scoring.bundle).items():
        for sparsity in sparsities:
            yield Probe(where, sparsity, partial(_weights_masked, scoring, names, WeightPlan(pattern, sparsity)))


def _places(bundle: Bundle) -> dict[str, Names]:
    """The names of the matrices of each block, each stack, each role, and of all; what is all has no other name."""
    found: dict[str, list[str]] = {}
    matrices = block_matrices(bundle)
    for where in (_block, lambda part: part.stack or "layers", lambda part: ", ".join(part.roles), lambda _: "all"):
        for name, part in matrices.items():
            found.setdefault(where(part), []).append(name)
    return {where: frozenset(names) for where, names in found.items() if where == "all" or len(names) < len(matrices)}


def _block(part: Matrix) -> str:
    return f"{part.stack or 'layer'} {part.block}"


@contextmanager
def _weights_masked(scoring: Scoring, names: Names, plan: WeightPlan) -> Iterator[None]:
    mask = scoring.mask(names, plan)
    model = scoring.bundle.model
    before = {name: parameter.detach().clone() for name, parameter in masked_parameters(model, mask.masks())}
    try:
        # The masks, and that there are any, are of this other bundle around the same model.
        mask.apply(replace(scoring.bundle))
        yield
    finally:
        with torch.no_grad():
            for name, parameter in masked_parameters(model, mask.masks()):
                parameter.copy_(before[name])


def _name(group: int, kinds: Sequence[str]) -> str:
    """`layer 3`, or `decoder 1` where there are several kinds of blocks."""
    if len(set(kinds)) == 1:
        return f"layer {group}"
    return f"{kinds[group]} {kinds[:group].count(kinds[group])}"
