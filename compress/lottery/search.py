"""Iterative magnitude pruning: the search for a ticket, with the trainer passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import floor

import torch
from torch import Tensor, nn

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.masks import Masks
from compress.core.model.matrices import first_stack
from compress.prune.selection import kept_together

__all__ = [
    "Choose",
    "State",
    "Train",
    "all_ones",
    "find_ticket",
    "keep_largest",
    "kept_after",
    "kept_share",
    "largest_weights",
    "state_of",
    "to_start",
]

State = dict[str, Tensor]
"""Name -> tensor, of all parameters and buffers: the encoder's and the head's."""
Train = Callable[[nn.Module, Masks], None]
"""Trains the model in place under the masks, with an optimiser and a schedule of its own each time."""
Choose = Callable[[nn.Module, Masks, int], Masks]
"""The masks of a round, from the trained model and the masks of the round before."""


def find_ticket(
    model: nn.Module,
    train: Train,
    *,
    rounds: int,
    choose: Choose,
    masks: Masks,
    rewind: Callable[[nn.Module, State], None] | None = None,
) -> Iterator[Masks]:
    """The masks after each round, the first round first; the last are the ticket.

    A round trains the model, removes the least important of what is left, and rewinds. The model is left rewound, for
    the last ticket to be trained. Rewinding puts back every tensor, the head's too: the code of Chen et al. rewinds the
    encoder alone, so that their head has been trained for all rounds when the last one begins.

    Args:
        model: at its starting weights.
        train: trains it in place.
        rounds: how often something is removed.
        choose: `largest_weights(...)`, or what else says which weights stay.
        masks: where to begin: `all_ones(...)`.
        rewind: `rewind(model, start)` takes the model back after each round; to the starting weights unless given.

    References:
        Frankle and Carbin 2019, arXiv 1803.03635, section 2 and appendix B; Chen et al. 2020, arXiv 2007.12223.
    """
    start = state_of(model)
    for number in range(1, rounds + 1):
        train(model, masks)
        masks = choose(model, masks, number)
        (rewind or to_start)(model, start)
        yield masks


def largest_weights(rate: float) -> Choose:
    """Of all matrices together the weights of the largest magnitude stay; each round removes the share `rate`."""

    def choose(model: nn.Module, masks: Masks, number: int) -> Masks:
        count = kept_after(sum(mask.numel() for mask in masks.values()), rate, number)
        return keep_largest({name: model.get_parameter(name) for name in masks}, masks, count)

    return choose


@torch.no_grad()
def keep_largest(weights: Mapping[str, Tensor], masks: Masks, count: int) -> Masks:
    """Exactly `count` weights stay: those of the largest magnitude among what `masks` keep; of equals the first.

    Args:
        weights: name -> parameter.
        masks: name -> boolean tensor of its shape, True where it is not yet removed.
        count: of all parameters together.

    Raises:
        InputError: more would stay than there are.
    """
    left = sum(int(mask.sum()) for mask in masks.values())
    if count > left:
        raise InputError(f"{count} weights cannot stay where {left} are left", given=count)
    # What is removed already lies below every magnitude.
    flat = [_magnitudes(weights[name], mask) for name, mask in masks.items()]
    parts = kept_together(flat, count)
    return {name: part.reshape(mask.shape).to(mask.device) for part, (name, mask) in zip(parts, masks.items())}


def _magnitudes(weight: Tensor, mask: Tensor) -> Tensor:
    return weight.detach().abs().float().masked_fill(~mask.to(weight.device), -1.0).reshape(-1)


def kept_after(total: int, rate: float, rounds: int) -> int:
    """total (1 - rate)^rounds, to the nearest integer; halves stay.

    Args:
        total: how many there are before the first round.
        rate: share of what is left that a round removes.
        rounds: how many are over.

    Reckoned in exact decimals from the total, so that no round adds to the rounding of another.

    Example:
        >>> kept_after(1000, 0.2, 1), kept_after(1000, 0.2, 5), kept_after(85054464, 0.2, 10)
        (800, 328, 9132654)
    """
    return floor(total * (1 - Fraction(str(rate))) ** rounds + Fraction(1, 2))


def kept_share(total: int, share: float) -> int:
    """total times share, to the nearest integer.

    Args:
        total: how many there are.
        share: from 0 to 1.
    """
    return floor(total * Fraction(str(share)) + Fraction(1, 2))


def all_ones(bundle: Bundle) -> Masks:
    """Masks that keep every weight of the blocks' matrices, whatever masks the bundle has.

    Chen et al. prune the pooler too; here it belongs to the head, which is never pruned.
    """
    shapes = {name: bundle.model.get_parameter(name).shape for name in first_stack(bundle)}
    return {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}


def state_of(model: nn.Module) -> State:
    """A copy of every tensor of the model."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def to_start(model: nn.Module, start: State) -> None:
    """Put every tensor back.

    Args:
        model: is changed in place.
        start: every parameter and buffer by name, as `state_of` gives them.
    """
    model.load_state_dict(start)
