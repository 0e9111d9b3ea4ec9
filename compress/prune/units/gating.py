"""Gates: a factor on the output of each unit, to take gradients by and to switch units off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from compress.core.calibration.per_example_gradients import check_rows, example_gradients
from compress.core.calibration.recording import before

if TYPE_CHECKING:
    from compress.core.fit.protocol import Objective
    from compress.core.model.bundle import Bundle
    from compress.core.model.evaluation import Batch

__all__ = [
    "gradients_at",
    "inputs_gated",
    "unit_gradients",
]


def gradients_at(
    bundle: Bundle,
    gates: AbstractContextManager[list[list[Tensor]]],
    units: Sequence[int],
    batch: Batch,
    objective: Objective,
) -> list[Float[Tensor, "batch units"]]:
    """dL(row)/dgate, for each row and each unit of each group, on the CPU; the model stays as it is, without dropout.

    Args:
        bundle: whose model; without dropout meanwhile.
        gates: collects what passes each of them, as `recorded_inputs` does.
        units: how many units share the last dimension of what passes each.
        batch: encoded rows.
        objective: the mean of the rows' losses, each of its own row alone.

    References:
        Michel et al. 2019, arXiv 1905.10650, eq. 2.

    Raises:
        Refusal: the family's blocks do not compute (rows, tokens, width), one row per example.
    """
    with gates as seen:
        gradients = example_gradients(bundle, batch, objective, seen)
    check_rows(seen, batch, bundle=bundle, who="gates need", advice="choose the criterion 'magnitude'")
    found = [unit_gradients(calls, slopes, units=n) for calls, slopes, n in zip(seen, gradients, units)]
    unused, rows = torch.zeros(1, 1), len(batch["labels"])
    return [slope.cpu() if calls else unused.expand(rows, n) for slope, calls, n in zip(found, seen, units)]


def unit_gradients(
    passed: Sequence[Float[Tensor, "batch length width"]],
    gradients: Sequence[Float[Tensor, "batch length width"]],
    *,
    units: int,
) -> Float[Tensor, "batch units"]:
    """dL/dgate of each row = sum of what passed times its gradient over a unit's entries, the tokens and the calls.

    Args:
        passed: activations at the gates, (batch, length, width) at each call.
        gradients: of the sum of the rows' losses by these activations, of the same shapes.
        units: how many units share the width.
    """
    products = [(x.detach() * g).float().sum(1).unflatten(-1, (units, -1)).sum(-1) for x, g in zip(passed, gradients)]
    return torch.stack(products).sum(0) if products else torch.zeros(0, units)


@contextmanager
def inputs_gated(linears: Sequence[nn.Module], kept: Sequence[Sequence[int]], counts: Sequence[int]) -> Iterator[None]:
    """Within it, each linear takes zeros from the units that are not `kept`; `counts` units share its inputs.

    Args:
        linears: one for each group.
        kept: the units that stay, of each group.
        counts: units of each group.
    """
    with ExitStack() as stack:
        for linear, units, count in zip(linears, kept, counts):
            gate = torch.zeros(count, device=next(linear.parameters()).device)
            gate[list(units)] = 1
            stack.enter_context(before(linear, _times(gate)))
        yield


def _times(gate: Float[Tensor, " units"]) -> Callable[[Tensor], Tensor]:
    def gated(inputs: Tensor) -> Tensor:
        return inputs * gate.repeat_interleave(inputs.shape[-1] // len(gate)).to(inputs.dtype)

    return gated
