"""The terms of a loss are means over the same last steps as the loss, so that they add up to it."""

from __future__ import annotations

import pytest
import torch

from compress.core.fit.protocol import last_stretch
from compress.distill.terms import Terms


@pytest.mark.parametrize(("steps", "per_step"), [(1, 1), (7, 1), (19, 2), (40, 1), (150, 3), (1000, 1)])
def test_means_are_over_the_end_of_the_training(steps: int, per_step: int) -> None:
    values = torch.rand(steps * per_step, 3, dtype=torch.float64)
    terms = Terms(3)
    assert terms.means(steps) == [] and terms.state().shape == (0, 3)
    for row in values[: len(values) // 2]:
        terms.add(row)
    again = Terms(3)
    again.restore(terms.state())
    for row in values[len(values) // 2 :]:
        again.add(row)
    assert torch.equal(again.state().double(), values)
    last = values[-per_step * last_stretch(steps) :]
    assert again.means(steps) == pytest.approx(last.mean(0).tolist(), abs=1e-5)
