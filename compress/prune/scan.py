"""How much a model minds: what it computes with some of its units masked, layer by layer and of all layers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.sketch import Sketch
from compress.prune.gates import masked
from compress.prune.pattern import Pattern
from compress.prune.selection import best_of_each

__all__ = ["Probe", "probes", "value_at"]

Kept = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Probe:
    """One masking.

    Attributes:
        where: `layer 3`, the kind of blocks (`decoder`), or `all`.
        sparsity: share of the units there that is masked; 1 where a whole layer is.
        kept: what stays, of every group of the pattern.
    """

    where: str
    sparsity: float
    kept: Kept


def probes(
    pattern: Pattern, sketch: Sketch, scores: Sequence[Float[Tensor, " units"]], sparsities: Sequence[float]
) -> Iterator[Probe]:
    """Each layer alone at each sparsity, each kind of blocks where there are several, and all at once.

    Args:
        pattern: what a unit is.
        sketch: of the model.
        scores: what each unit is worth; the worst are masked.
        sparsities: between 0 and 1.
    """
    counts, kinds = pattern.counts(sketch), pattern.kinds(sketch)
    whole: Kept = tuple(tuple(range(count)) for count in counts)
    chosen = {sparsity: best_of_each(scores, sparsity) for sparsity in sparsities}
    comparable = pattern.comparable(scores, sketch)
    common = {sparsity: best_of_each(comparable, sparsity) for sparsity in sparsities}
    if len(counts) > 1:
        for group in range(len(counts)):
            for sparsity, kept in chosen.items():
                alone = (*whole[:group], kept[group], *whole[group + 1 :])
                yield Probe(_name(group, kinds), sparsity, alone)
    elif pattern.part == "layers":
        for layer in range(counts[0]):
            if layer not in pattern.fixed(sketch)[0]:
                yield Probe(f"layer {layer}", 1.0, (tuple(n for n in whole[0] if n != layer),))
    for kind in dict.fromkeys(kinds) if len(set(kinds)) > 1 else ():
        for sparsity, kept in common.items():
            yield Probe(kind, sparsity, tuple(k if each == kind else w for each, k, w in zip(kinds, kept, whole)))
    for sparsity, kept in common.items():
        yield Probe("all", sparsity, kept)


def value_at(bundle: Bundle, pattern: Pattern, probe: Probe, evaluate: Callable[[Bundle], float]) -> float:
    """What `evaluate` gives with the units of the probe masked; the weights stay as they are."""
    with masked(bundle, pattern, probe.kept):
        return evaluate(bundle)


def _name(group: int, kinds: Sequence[str]) -> str:
    """`layer 3`, or `decoder 1` where there are several kinds of blocks."""
    if len(set(kinds)) == 1:
        return f"layer {group}"
    return f"{kinds[group]} {kinds[:group].count(kinds[group])}"
