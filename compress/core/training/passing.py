"""Every matrix solved in one forward pass, each on the inputs that the solved ones before it give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, forward, padding_mask
from compress.core.model.matrices import Matrix

__all__ = ["solved_in_passing"]

Solve = Callable[[str, Tensor, Tensor], Tensor]


@torch.no_grad()
def solved_in_passing(bundle: Bundle, matrices: Mapping[str, Matrix], batch: Batch, solve: Solve) -> None:
    """Call `solve(name, weight, inputs)` for each matrix as the batch comes to it; the model is left as it was.

    The batch goes on with the (out, in) that `solve` gives in place of the weight, so the time grows with the number of
    matrices and no input is computed twice. A linear that runs repeatedly is solved where it runs first.

    Args:
        bundle: whose model; in evaluation mode meanwhile.
        matrices: what to solve.
        batch: all rows of the calibration at once.
        solve: is given the weight (out, in) and what enters it (tokens, in), without the padding.
    """
    real = padding_mask(batch)
    with _restored(matrices), ExitStack() as stack:
        for name, part in matrices.items():
            stack.enter_context(_at_first_call(part.linear, _solving(name, part, solve, real)))
        forward(bundle, batch)


def _solving(name: str, part: Matrix, solve: Solve, real: Tensor | None) -> Callable[[Tensor], None]:
    def at(inputs: Tensor) -> None:
        seen = inputs.detach()
        tokens = seen[real] if real is not None and seen.shape[:-1] == real.shape else seen.flatten(0, -2)
        part.weight.copy_(solve(name, part.weight.float().clone(), tokens.float()))

    return at


@contextmanager
def _restored(matrices: Mapping[str, Matrix]) -> Iterator[None]:
    before = {name: part.weight.clone() for name, part in matrices.items()}
    try:
        yield
    finally:
        for name, part in matrices.items():
            part.weight.copy_(before[name])


@contextmanager
def _at_first_call(linear: nn.Module, function: Callable[[Float[Tensor, "..."]], None]) -> Iterator[None]:
    called: list[bool] = []

    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        if not called:
            called.append(True)
            function(arguments[0])

    handle = linear.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
