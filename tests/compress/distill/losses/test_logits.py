"""The mean square of logits against numpy."""

import numpy as np
import pytest
import torch

from compress.core.answers import Answers
from compress.distill.loss import Seen
from compress.distill.losses.logits import Logits, logit_mean_square
from compress.distill.losses.soft_targets import soft_target_divergence
from compress.distill.stage import Distill
from tests.compress.distill.stub import stub_context, trained
from tests.tiny import TinyTask


def random(*shape, seed=0, **options):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("labels", [1, 2, 5])
def test_it_is_the_mean_square_of_the_difference(labels):
    student, teacher = random(6, labels), random(6, labels, seed=1)
    expected = ((student.numpy() - teacher.numpy()) ** 2).sum(1).mean() / labels
    np.testing.assert_allclose(logit_mean_square(student, teacher).item(), expected, rtol=1e-6)
    assert logit_mean_square(teacher, teacher) == 0


def test_half_precision_is_compared_in_full():
    student, teacher = (random(4, 3, seed=seed).half() * 300 for seed in (0, 1))
    expected = ((student.double() - teacher.double()) ** 2).mean()
    np.testing.assert_allclose(logit_mean_square(student, teacher).item(), expected.item(), rtol=1e-6)


def test_the_gradient_moves_the_student_towards_the_teacher():
    student, teacher = random(4, 3).requires_grad_(), random(4, 3, seed=1)
    rows = torch.arange(4)
    seen = Seen(TinyTask(), {"row_id": rows}, {"logits": student}, Answers(rows, teacher))
    Logits().value(seen).backward()
    np.testing.assert_allclose(student.grad.numpy(), 2 * (student.detach() - teacher).numpy() / 12, rtol=1e-5)


def test_soft_targets_of_high_temperature_are_half_of_it_where_logits_have_no_mean():
    """T^2 KL tends to |z_s - z_t|^2 / (2 labels); Hinton et al. 2015, eq. 4."""
    student, teacher = (random(8, 4, seed=seed, dtype=torch.float64) for seed in (0, 1))
    student, teacher = (logits - logits.mean(1, keepdim=True) for logits in (student, teacher))
    hot = soft_target_divergence(student, teacher, temperature=100.0)
    np.testing.assert_allclose(hot.item(), logit_mean_square(student, teacher).item() / 2, rtol=2e-2)


@pytest.mark.parametrize("regression", [False, True])
def test_a_student_is_distilled_by_it(tmp_path, regression):
    without_dropout = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    teacher = trained("bert", labels=1 if regression else 2, **without_dropout)
    ctx = stub_context(tmp_path, steps=25, regression=regression)
    stage = Distill.model_validate({"student": {"layers": 2}, "losses": ["logits"]})
    stage.run(teacher, ctx)
    assert ctx.fit.losses[-1] < 0.5 * ctx.fit.losses[0]
    assert set(ctx.facts["losses"]) == {"logits"}
