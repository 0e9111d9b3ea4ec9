"""Every unit behind a gate: a factor on what it gives to the rest of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from compress.core.errors import Refusal

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle
    from compress.core.model.evaluation import Batch
    from compress.core.training.fit import Objective
    from compress.prune.units.pattern import UnitPattern

__all__ = [
    "after",
    "before",
    "gate_slopes",
    "inputs_gated",
    "inputs_seen",
    "leaf",
    "masked",
    "slopes_at",
    "unit_slopes",
]


@contextmanager
def masked(bundle: Bundle, pattern: UnitPattern, kept: Sequence[Sequence[int]]) -> Iterator[None]:
    """Within it, units that are not `kept` give nothing: what the model computes once they are cut.

    Args:
        bundle: whose model; its weights stay as they are.
        pattern: what a unit is.
        kept: the units that stay, of each group.
    """
    with pattern.masked(bundle, kept):
        yield


def gate_slopes(
    bundle: Bundle, pattern: UnitPattern, batch: Batch, objective: Objective
) -> list[Float[Tensor, "batch units"]]:
    """dL(row)/dgate, for each row and each unit of each group, on the CPU; the model stays as it is, without dropout.

    Raises:
        Refusal: the family's blocks do not compute (rows, tokens, width), one row per example.
    """
    units = pattern.gate_units(bundle.sketch())
    return pattern.grouped(slopes_at(bundle, pattern.gated(bundle), units, batch, objective))


def slopes_at(
    bundle: Bundle,
    gates: AbstractContextManager[list[list[Tensor]]],
    units: Sequence[int],
    batch: Batch,
    objective: Objective,
) -> list[Float[Tensor, "batch units"]]:
    """dL(row)/dgate, as `gate_slopes` gives it, for gates that are nobody's pattern.

    Args:
        gates: collects what passes each of them, as `inputs_seen` does.
        units: how many units share the last dimension of what passes each.
    """
    was_training = bundle.model.training
    bundle.model.eval()
    rows = len(batch["labels"])
    with torch.enable_grad(), gates as seen:
        # The objective is the mean over rows, and a row's loss depends on its own gates alone.
        loss = objective(bundle.model, batch) * rows
        gradients = iter(torch.autograd.grad(loss, [passed for calls in seen for passed in calls]))
    bundle.model.train(was_training)
    _check_rows(seen, rows, bundle.family.model_type)
    found = [unit_slopes(calls, [next(gradients) for _ in calls], units=n) for calls, n in zip(seen, units)]
    unused = torch.zeros(rows, 1)
    return [slope.cpu() if calls else unused.expand(rows, n) for slope, calls, n in zip(found, seen, units)]


def unit_slopes(
    passed: Sequence[Float[Tensor, "batch length width"]],
    gradients: Sequence[Float[Tensor, "batch length width"]],
    *,
    units: int,
) -> Float[Tensor, "batch units"]:
    """dL/dgate of each row = sum of what passed times its gradient over a unit's entries, the tokens and the calls.

    Args:
        passed: what went through the gates, at each call.
        gradients: of the sum of the rows' losses, by what passed.
        units: how many units share the width.
    """
    products = [(x.detach() * g).float().sum(1).unflatten(-1, (units, -1)).sum(-1) for x, g in zip(passed, gradients)]
    return torch.stack(products).sum(0) if products else torch.zeros(0, units)


@contextmanager
def inputs_gated(linears: Sequence[nn.Module], kept: Sequence[Sequence[int]], counts: Sequence[int]) -> Iterator[None]:
    """Within it, each linear takes zeros from the units that are not `kept`; `counts` units share its inputs."""
    with ExitStack() as stack:
        for linear, units, count in zip(linears, kept, counts):
            gate = torch.zeros(count, device=next(linear.parameters()).device)
            gate[list(units)] = 1
            stack.enter_context(before(linear, _times(gate)))
        yield


@contextmanager
def inputs_seen(linears: Sequence[nn.Module]) -> Iterator[list[list[Tensor]]]:
    """Within it, what each linear is given in a forward pass is collected, with gradients; it may run repeatedly."""
    seen: list[list[Tensor]] = [[] for _ in linears]
    with ExitStack() as stack:
        for linear, calls in zip(linears, seen):
            stack.enter_context(before(linear, leaf(calls)))
        yield seen


def leaf(calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """A function that gives its tensor back, with a gradient, and adds it to `calls`."""

    def keep(passed: Tensor) -> Tensor:
        # Below a frozen part nothing asks for gradients, and this does.
        passed = passed if passed.requires_grad else passed.detach().requires_grad_()
        calls.append(passed)
        return passed

    return keep


@contextmanager
def before(module: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within it, `function` stands before what `module` is given first."""

    def hook(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        if arguments:
            return (function(arguments[0]), *arguments[1:]), named
        return arguments, {**named, "hidden_states": function(named["hidden_states"])}

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def after(module: nn.Module, function: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    """Within it, what `module` gives first is `function` of what it was given first and of what it gives."""

    def hook(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], outputs: Any) -> Any:
        given = arguments[0] if arguments else named["hidden_states"]
        if isinstance(outputs, tuple):
            return (function(given, outputs[0]), *outputs[1:])
        return function(given, outputs)

    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _times(gate: Float[Tensor, " units"]) -> Callable[[Tensor], Tensor]:
    def gated(inputs: Tensor) -> Tensor:
        return inputs * gate.repeat_interleave(inputs.shape[-1] // len(gate)).to(inputs.dtype)

    return gated


def _check_rows(seen: list[list[Tensor]], rows: int, model_type: str) -> None:
    if any(passed.dim() != 3 or passed.shape[0] != rows for calls in seen for passed in calls):
        what = f"gates need the blocks of a {model_type} model to compute (rows, tokens, width), one row per example"
        raise Refusal(what, advice="choose the criterion 'magnitude'")
