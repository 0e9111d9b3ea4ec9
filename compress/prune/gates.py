"""Every unit behind a gate: a factor on what it gives to the rest of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from compress.core.bundle import Bundle
from compress.prune.pattern import Pattern

__all__ = ["inputs_seen", "masked", "unit_linears"]


def unit_linears(bundle: Bundle, pattern: Pattern) -> list[nn.Module]:
    """In each block, the linear whose inputs the units are."""
    return list(bundle.family.block_parts(bundle.model, pattern.role))


@contextmanager
def masked(bundle: Bundle, pattern: Pattern, kept: Sequence[Sequence[int]]) -> Iterator[None]:
    """Within it, units that are not `kept` give nothing: what the model computes once they are cut.

    Args:
        bundle: whose model; its weights stay as they are.
        pattern: what a unit is.
        kept: the units that stay, of each block.
    """
    counts = pattern.counts(bundle.sketch())
    with ExitStack() as stack:
        for linear, units, count in zip(unit_linears(bundle, pattern), kept, counts):
            gate = torch.zeros(count, device=bundle.device)
            gate[list(units)] = 1
            stack.enter_context(_before(linear, _times(gate)))
        yield


@contextmanager
def inputs_seen(linears: Sequence[nn.Module]) -> Iterator[list[list[Tensor]]]:
    """Within it, what each linear is given in a forward pass is collected, with gradients; it may run repeatedly."""
    seen: list[list[Tensor]] = [[] for _ in linears]

    def collect(calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
        def keep(inputs: Tensor) -> Tensor:
            # Below a frozen part nothing asks for gradients, and this does.
            inputs = inputs if inputs.requires_grad else inputs.detach().requires_grad_()
            calls.append(inputs)
            return inputs

        return keep

    with ExitStack() as stack:
        for linear, calls in zip(linears, seen):
            stack.enter_context(_before(linear, collect(calls)))
        yield seen


def _times(gate: Float[Tensor, " units"]) -> Callable[[Tensor], Tensor]:
    def gated(inputs: Tensor) -> Tensor:
        return inputs * gate.repeat_interleave(inputs.shape[-1] // len(gate)).to(inputs.dtype)

    return gated


@contextmanager
def _before(linear: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (function(arguments[0]), *arguments[1:])

    handle = linear.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
