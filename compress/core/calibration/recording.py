"""Forward hooks that record or replace the inputs and outputs of modules."""

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
    """The inputs (tokens, in) of each matrix inside a `with`, one tensor for each call.

    Args:
        users: path -> the linears that use the matrix.
        real: False for padding, which is left out; None without padding.
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
    """(tokens, width): the input of a linear, token by token, without padding where its first dimensions are `real`'s.

    Args:
        inputs: of a linear.
        real: False for padding; None without padding.
    """
    return inputs[real] if real is not None and inputs.shape[:-1] == real.shape else inputs.flatten(0, -2)


def leaf(calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """A function that returns its tensor with `requires_grad`, and appends it to `calls`."""

    def keep(passed: Tensor) -> Tensor:
        # Outputs of frozen layers require no gradient.
        passed = passed if passed.requires_grad else passed.detach().requires_grad_()
        calls.append(passed)
        return passed

    return keep


@contextmanager
def before(module: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """`function` is applied to the first input of `module` inside a `with`.

    Args:
        module: called with tensors, or with `hidden_states=`.
        function: input -> the input that the module is given.
    """

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
    """`function` is applied to the first output of `module` inside a `with`.

    Args:
        module: called with tensors, or with `hidden_states=`.
        function: (first input, first output) -> the output that the module gives.
    """

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
