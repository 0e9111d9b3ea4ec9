"""The mathematics, against plain numpy and plain loops."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.core.errors import StageFailed
from compress.factorize.decompositions.fisher import squared_row_gradients
from compress.factorize.decompositions.frequency import frequency_weights
from compress.factorize.decompositions.low_rank import Weighting, decompose, output_error, second_moment_root


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moment(inputs):
    return inputs.T @ inputs / len(inputs)


def product(factors, rank):
    left, right = factors.of_rank(rank)
    assert left.shape[1] == right.shape[0] == rank
    return left.double() @ right.double()


@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (300, 16), (20, 20)])
def test_the_error_of_svd_is_the_tail_of_the_singular_values(shape):
    weight = drawn(*shape)
    values = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    factors = decompose(weight)
    np.testing.assert_allclose(factors.values.numpy(), values, rtol=1e-6)
    for rank in (1, 5, min(shape)):
        error = (weight.double() - product(factors, rank)).norm().item()
        assert error == pytest.approx(np.sqrt((values[rank:] ** 2).sum()), rel=1e-5, abs=1e-4)


def test_both_factors_are_equally_long():
    left, right = decompose(drawn(24, 16)).of_rank(5)
    torch.testing.assert_close(left.norm(dim=0), right.norm(dim=1))
    zeros = decompose(torch.zeros(6, 4)).of_rank(2)
    assert all(torch.isfinite(factor).all() for factor in zeros)


@pytest.mark.parametrize("tokens", [200, 16, 5])
@pytest.mark.parametrize("shape", [(24, 16), (16, 24)])
def test_the_output_error_is_the_least_of_all(shape, tokens):
    """Also where fewer tokens were seen than there are inputs."""
    weight, inputs = drawn(*shape), drawn(tokens, shape[1], seed=1) * torch.logspace(0, -3, shape[1])
    seen, plain = decompose(weight, Weighting(inputs=moment(inputs))), decompose(weight)
    outputs = np.linalg.svd((inputs @ weight.T).double().numpy(), compute_uv=False)
    for rank in (1, 3, 8):
        ours = (inputs.double() @ (weight.double() - product(seen, rank)).T).square().sum()
        theirs = (inputs.double() @ (weight.double() - product(plain, rank)).T).square().sum()
        # No matrix at all of that rank is nearer to the outputs (Eckart and Young).
        assert ours.item() == pytest.approx((outputs[rank:] ** 2).sum(), rel=1e-4, abs=1e-5)
        assert ours <= theirs * (1 + 1e-6) + 1e-9
        assert output_error(weight - product(seen, rank), moment(inputs)) * tokens == pytest.approx(
            ours.item(), rel=1e-3, abs=1e-4
        )


def test_full_rank_is_the_matrix_whatever_weighs_it():
    weight = drawn(24, 16)
    flat = torch.zeros(16, 16)
    flat[0, 0] = 1.0
    for weighting in (Weighting(), Weighting(inputs=flat), Weighting(rows=drawn(24).abs())):
        torch.testing.assert_close(product(decompose(weight, weighting), 16).float(), weight, atol=1e-5, rtol=0)


def test_the_root_of_a_moment():
    found = moment(drawn(50, 6))
    root = second_moment_root(found)
    torch.testing.assert_close((root @ root.T).float(), found)
    assert torch.equal(root, root.tril())
    assert torch.equal(second_moment_root(torch.zeros(4, 4)), torch.eye(4, dtype=torch.float64))


def test_weighted_rows_against_the_paper():
    """FWSVD's own form: decompose D W, then take D away from the left factor."""
    weight, rows = drawn(24, 16), drawn(24, seed=2).abs() + 0.1
    left, values, right = np.linalg.svd((rows[:, None] * weight).double().numpy(), full_matrices=False)
    expected = (left[:, :5] * values[:5] / rows.double().numpy()[:, None]) @ right[:5]
    found = decompose(weight, Weighting(rows=rows))
    np.testing.assert_allclose(product(found, 5).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(found.values.numpy(), values, rtol=1e-6)
    tall = decompose(drawn(200, 8), Weighting(rows=torch.ones(200)))
    np.testing.assert_allclose(product(tall, 3).numpy(), product(decompose(drawn(200, 8)), 3).numpy(), atol=1e-5)


@pytest.mark.parametrize("wrong", [torch.inf, torch.nan])
def test_what_is_not_finite_is_an_error(wrong):
    matrix, moment = drawn(6, 4), torch.eye(4)
    matrix[2, 1] = moment[1, 1] = wrong
    with pytest.raises(StageFailed, match="its weights are not finite, 1 of 24"):
        decompose(matrix)
    with pytest.raises(StageFailed, match="second moments of its inputs are not finite") as caught:
        decompose(drawn(6, 4), Weighting(inputs=moment))
    assert "by: svd" in caught.value.advice


def test_squared_gradients_by_row_against_one_backward_for_each_example():
    linear, inputs = nn.Linear(6, 4), [drawn(3, 5, 6, seed=seed) for seed in (1, 2)]
    weigh = [drawn(3, 5, 4, seed=seed) for seed in (3, 4)]
    expected = torch.zeros(4)
    for row in range(3):
        loss = sum((linear(x[row]).tanh() * g[row]).sum() for x, g in zip(inputs, weigh))
        expected += torch.autograd.grad(loss, linear.weight)[0].square().sum(1)
    outputs = [linear(x) for x in inputs]
    loss = sum((y.tanh() * g).sum() for y, g in zip(outputs, weigh))
    found = squared_row_gradients(list(zip(inputs, torch.autograd.grad(loss, outputs))))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_unseen_tokens_keep_a_voice():
    assert frequency_weights(torch.tensor([0, 3, 8])).tolist() == [1.0, 2.0, 3.0]
