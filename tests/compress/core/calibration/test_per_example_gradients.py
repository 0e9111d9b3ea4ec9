"""Gradients of single examples, against a loop over the examples."""

from __future__ import annotations

import pytest
import torch

from compress.core.calibration.per_example_gradients import example_gradients, sums_over_examples
from compress.core.calibration.recording import recorded_inputs
from compress.core.model.evaluation import model_inputs
from compress.core.model.matrices import block_matrices
from compress.core.model.matrix import matrix
from tests.tiny import tiny_bundle, tiny_inputs


def objective(model, batch):
    return torch.nn.functional.cross_entropy(model(**model_inputs(batch)).logits, batch["labels"])


def given(name):
    bundle = tiny_bundle(name)
    return bundle, {**tiny_inputs(bundle, rows=3), "labels": torch.tensor([0, 1, 1])}


@pytest.mark.parametrize("name", ["bert", "gpt2", "albert"])
def test_the_sum_of_squares_is_that_of_a_loop_over_the_examples(name):
    bundle, batch = given(name)
    matrices = block_matrices(bundle)
    found = sums_over_examples(bundle, matrices, batch, objective, torch.square)
    for part, total in zip(matrices.values(), found, strict=True):
        weight, expected = part.linear.weight, torch.zeros_like(total)
        for row in range(3):
            loss = objective(bundle.model, {key: value[row : row + 1] for key, value in batch.items()})
            expected += matrix(part.linear, torch.autograd.grad(loss, weight)[0]).square()
        torch.testing.assert_close(total, expected, rtol=1e-3, atol=1e-6)


def test_an_error_leaves_no_hook_and_the_mode_as_it_was():
    bundle, batch = given("bert")
    bundle.model.train()

    def broken(model, batch):
        objective(model, batch)
        raise ZeroDivisionError

    linears = [part.linear for part in block_matrices(bundle).values()]
    with pytest.raises(ZeroDivisionError), recorded_inputs(linears) as seen:
        example_gradients(bundle, batch, broken, seen)
    assert all(module.training for module in bundle.model.modules())
    assert not any(linear._forward_pre_hooks for linear in linears)
