"""What linears are given, and the gradients of what they give, seen during passes of the whole model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["watched", "with_outputs"]


@contextmanager
def watched(
    modules: Mapping[str, Sequence[nn.Module]], mask: Tensor | None = None
) -> Iterator[dict[str, list[Tensor]]]:
    """Within it, the tokens (tokens, in) that each matrix is given are collected, one tensor for each of its calls.

    Args:
        modules: path -> the linears that use one matrix.
        mask: (rows, length); where an input has these first dimensions, tokens of mask 0 are left out.
    """
    seen: dict[str, list[Tensor]] = {path: [] for path in modules}
    with ExitStack() as stack:
        for path, module in ((path, user) for path, users in modules.items() for user in users):
            stack.callback(module.register_forward_pre_hook(_keeping(seen[path], mask)).remove)
        yield seen


@contextmanager
def with_outputs(modules: Mapping[str, Sequence[nn.Module]]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Within it, (input, output) of each call with each matrix are collected, the outputs with gradients."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {path: [] for path in modules}

    def keeping(calls: list[tuple[Tensor, Tensor]]) -> Any:
        def hook(_: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
            # Below a frozen part nothing asks for gradients, and this does.
            output = output if output.requires_grad else output.detach().requires_grad_()
            calls.append((arguments[0].detach(), output))
            return output

        return hook

    with ExitStack() as stack:
        for path, module in ((path, user) for path, users in modules.items() for user in users):
            stack.callback(module.register_forward_hook(keeping(seen[path])).remove)
        yield seen


def _keeping(calls: list[Tensor], mask: Tensor | None) -> Any:
    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs = arguments[0].detach()
        masked = mask is not None and mask.dim() == 2 and inputs.shape[:2] == mask.shape
        calls.append(inputs[mask.bool()] if masked and mask is not None else inputs.flatten(0, -2))

    return hook
