"""Hooks on a forward pass: what enters and leaves a module, recorded or replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["Calls", "after", "before", "leaf", "recorded_calls", "recorded_inputs", "recorded_tokens", "token_rows"]


@dataclass
class Calls:
    """Inputs and outputs of the modules that use one matrix, one of each for every call in a forward pass."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


@contextmanager
def recorded_calls(users: Iterable[Sequence[nn.Module]]) -> Iterator[list[Calls]]:
    """Inputs and outputs of linears inside a `with`, the outputs as leaves with gradients.

    Args:
        users: for each matrix, the linears that use it; each may run repeatedly.
    """
    with ExitStack() as stack:
        yield [_recorded(stack, modules) for modules in users]


def _recorded(stack: ExitStack, modules: Sequence[nn.Module]) -> Calls:
    calls = Calls()
    keep = leaf(calls.outputs)

    def record(given: Tensor, made: Tensor) -> Tensor:
        calls.inputs.append(given.detach())
        return keep(made)

    for module in modules:
        stack.enter_context(after(module, record))
    return calls


@contextmanager
def recorded_inputs(modules: Iterable[nn.Module]) -> Iterator[list[list[Tensor]]]:
    """The inputs of each module inside a `with`, one for each of its calls, as leaves with gradients."""
    with ExitStack() as stack:
        found: list[list[Tensor]] = []
        for module in modules:
            found.append([])
            stack.enter_context(before(module, leaf(found[-1])))
        yield found


@contextmanager
def recorded_tokens(
    users: Mapping[str, Sequence[nn.Module]], real: Bool[Tensor, "batch length"] | None
) -> Iterator[dict[str, list[Tensor]]]:
    """The tokens (tokens, in) that enter each matrix inside a `with`, one tensor for each call.

    Args:
        users: path -> the linears that use the matrix.
        real: False where there is padding, which is left out.
    """
    found: dict[str, list[Tensor]] = {path: [] for path in users}

    def recording(calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
        def record(given: Tensor) -> Tensor:
            calls.append(token_rows(given.detach(), real))
            return given

        return record

    with ExitStack() as stack:
        for path, modules in users.items():
            for module in modules:
                stack.enter_context(before(module, recording(found[path])))
        yield found


def token_rows(inputs: Float[Tensor, "... width"], real: Bool[Tensor, "batch length"] | None) -> Tensor:
    """(tokens, width): all the tokens of a linear's input, without padding where its first dimensions are `real`'s."""
    return inputs[real] if real is not None and inputs.shape[:-1] == real.shape else inputs.flatten(0, -2)


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
    """`function` is applied to the first input of `module` inside a `with`."""

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
    """The first output of `module` inside a `with` is `function(first input, first output)`."""

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
