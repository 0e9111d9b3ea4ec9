"""Attention heads and feed-forward networks as units, their importance, and their masks."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from compress.core.calibration.passes import mean_over_rows
from compress.core.calibration.recording import recorded_inputs
from compress.core.fit.protocol import Objective
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.model.masks import Masks
from compress.core.model.matrices import first_stack
from compress.core.model.matrix import matrix, rows_of
from compress.core.stage.context import Context
from compress.lottery.search import Choose, all_ones, kept_after
from compress.prune.units.gating import gradients_at

__all__ = ["Importance", "Units", "all_units", "best", "importance", "lowest_units", "unit_masks", "units_left"]


@dataclass(frozen=True)
class Units:
    """What stays: the (block, head) pairs, and the blocks whose feed-forward network stays; both ascending."""

    heads: tuple[tuple[int, int], ...]
    networks: tuple[int, ...]

    def count(self) -> int:
        return len(self.heads) + len(self.networks)


@dataclass(frozen=True)
class Importance:
    """Importance of each unit; higher stays."""

    heads: dict[tuple[int, int], float]
    networks: dict[int, float]


def all_units(bundle: Bundle) -> Units:
    """Every head and every feed-forward network of the blocks; of two stacks, the encoder's."""
    sketch = bundle.sketch()
    heads = tuple((block, head) for block, count in enumerate(sketch.block_heads) for head in range(count))
    return Units(heads, tuple(range(len(sketch.block_neurons))))


def unit_masks(bundle: Bundle, units: Units) -> Masks:
    """Masks that keep these units: of a head that goes the rows of query, key and value and the columns of the output;
    of a network that goes every matrix. What its last linear adds as a bias stays.

    Args:
        bundle: whose model.
        units: what stays.
    """
    masks = all_ones(bundle)
    family, sketch = bundle.family, bundle.sketch()
    gone = [head for head in all_units(bundle).heads if head not in set(units.heads)]
    for name, (linear, role, number) in _places(bundle).items():
        view, path = matrix(linear, masks[name]), family.path(family.module_list(bundle.model)[number], role)
        heads = [head for block, head in gone if block == number]
        if role == "output":
            view[:, rows_of(heads, size=sketch.head_size, of=sketch.block_heads[number])] = False
        elif role in ("query", "key", "value"):
            stacked, interleaved = family.stacked.get(path, 1), family.interleaved.get(path, 1)
            rows = rows_of(
                heads, size=sketch.head_size, of=sketch.block_heads[number], stacked=stacked, interleaved=interleaved
            )
            view[rows] = False
        elif number not in units.networks:
            view[:] = False
    return masks


def units_left(bundle: Bundle, masks: Masks) -> Units:
    """The units that masks of `unit_masks` keep.

    Args:
        bundle: whose model.
        masks: name of a parameter -> boolean tensor, True where kept.
    """
    size, heads, networks = bundle.sketch().head_size, [], []
    for name, (linear, role, number) in _places(bundle).items():
        if role == "output":
            kept = matrix(linear, masks[name]).any(0).unflatten(0, (-1, size)).any(1)
            heads += [(number, head) for head in kept.nonzero().flatten().tolist()]
        elif role == "down" and bool(masks[name].any()):
            networks.append(number)
    return Units(tuple(heads), tuple(networks))


def importance(bundle: Bundle, ctx: Context, *, batches: int, batch_size: int = 32) -> Importance:
    """Mean over examples of |dL/dgate|, the gate a factor on what a head or all neurons of a network give; no dropout.

    Those of heads are L2-normalised in each layer, as Michel et al. do. That of a unit which a mask has cut is zero.

    Args:
        bundle: whose model, with its masks.
        ctx: for rows of *train* and the objective.
        batches: how many, drawn by the seed.
        batch_size: rows of a batch.

    References:
        Michel et al. 2019, arXiv 1905.10650, eq. 2; Prasanna et al. 2020, arXiv 2005.00561, section 3.

    Raises:
        InputError: there are no rows of *train*.
    """

    def totals(batch: Batch) -> list[Tensor]:
        return _of_batch(bundle, batch, ctx.task_objective())

    word, blocks = "the importance of heads and networks", len(bundle.sketch().block_heads)
    means = mean_over_rows(bundle, ctx, totals, batches=batches, batch_size=batch_size, word=word)
    heads = [F.normalize(mean, dim=0) for mean in means[:blocks]]
    networks = [float(mean) for mean in means[blocks:]]
    return Importance(
        {(block, head): float(value) for block, values in enumerate(heads) for head, value in enumerate(values)},
        dict(enumerate(networks)),
    )


def lowest_units(bundle: Bundle, ctx: Context, *, rate: float, batches: int) -> Choose:
    """Each round the share `rate` of the heads, and of the networks, goes, the least important; one of each stays.

    Args:
        bundle: whose model.
        ctx: for rows of *train* and the objective.
        rate: share of what is left that a round removes.
        batches: of train, for the importance of each round.
    """

    def choose(model: nn.Module, masks: Masks, number: int) -> Masks:
        left, scores, whole = units_left(bundle, masks), importance(bundle, ctx, batches=batches), all_units(bundle)
        heads = max(1, kept_after(len(whole.heads), rate, number))
        networks = max(1, kept_after(len(whole.networks), rate, number))
        return unit_masks(bundle, best(left, scores, heads=heads, networks=networks))

    return choose


def best(units: Units, scores: Importance, *, heads: int, networks: int) -> Units:
    """So many of `units`, the most important; of equals the first.

    Args:
        units: what is left.
        scores: importance of each.
        heads: how many heads stay.
        networks: how many feed-forward networks stay.
    """
    by_head = sorted(units.heads, key=lambda head: -scores.heads[head])
    by_network = sorted(units.networks, key=lambda block: -scores.networks[block])
    return Units(tuple(sorted(by_head[:heads])), tuple(sorted(by_network[:networks])))


def _of_batch(bundle: Bundle, batch: Batch, objective: Objective) -> list[Float[Tensor, " units"]]:
    """Sum over the batch's rows of |dL(row)/dgate|: the heads of each block, then the network of each block."""
    sketch, family, model = bundle.sketch(), bundle.family, bundle.model
    linears = [*family.block_parts(model, "output"), *family.block_parts(model, "down")]
    counts = (*sketch.block_heads, *(1 for _ in sketch.block_neurons))
    return [each.abs().sum(0) for each in gradients_at(bundle, recorded_inputs(linears), counts, batch, objective)]


def _places(bundle: Bundle) -> dict[str, tuple[nn.Module, str, int]]:
    """Name of a weight -> its linear, role (of a fused one the first) and block."""
    return {name: (found.linear, found.role, found.block) for name, found in first_stack(bundle).items()}
