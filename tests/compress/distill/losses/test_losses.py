"""Each loss against numpy, padding included."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from compress.core.answers import Answers
from compress.core.errors import InputError
from compress.distill.loss import Seen
from compress.distill.losses.hidden_states import HiddenStates, cosine_distance, mean_square
from compress.distill.losses.labels import Labels
from compress.distill.losses.soft_targets import SoftTargets, soft_target_divergence
from tests.tiny import TinyTask


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seen(student, teacher=None, *, labels=None, task=None):
    batch = {"row_id": torch.arange(len(student)), "labels": torch.zeros(len(student)) if labels is None else labels}
    answers = None if teacher is None else Answers(batch["row_id"], teacher)
    return Seen(task or TinyTask(), batch, {"logits": student}, answers)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_soft_targets(temperature):
    student, teacher = random(6, 3), random(6, 3, seed=1)
    p, q = softmax(teacher.numpy() / temperature), softmax(student.numpy() / temperature)
    expected = (p * np.log(p / q)).sum() / 6 * temperature**2
    found = soft_target_divergence(student, teacher, temperature=temperature)
    np.testing.assert_allclose(found.item(), expected, rtol=1e-5)
    assert soft_target_divergence(teacher, teacher, temperature=temperature).abs() < 1e-6


def test_soft_targets_of_a_regression_are_the_outputs():
    student, teacher = random(6, 1), random(6, 1, seed=1)
    found = SoftTargets().value(seen(student, teacher, task=TinyTask("pearson")))
    np.testing.assert_allclose(found.item(), ((student - teacher) ** 2).mean().item(), rtol=1e-6)


def test_labels_are_the_tasks_own_loss():
    logits, labels = random(5, 2), torch.tensor([0, 1, 1, 0, 1])
    expected = -np.log(softmax(logits.numpy())[np.arange(5), labels.numpy()]).mean()
    np.testing.assert_allclose(Labels().value(seen(logits, labels=labels)).item(), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "mean_square"])
def test_hidden_states_leave_padding_out(kind):
    student, teacher = random(3, 5, 8), random(3, 5, 8, seed=1)
    lengths = [5, 2, 0]
    tokens = torch.tensor([[place < length for place in range(5)] for length in lengths])
    values = []
    for s, t in zip(student[tokens].numpy(), teacher[tokens].numpy()):
        cosine = 1 - (s * t).sum() / np.sqrt((s * s).sum() * (t * t).sum())
        values.append(cosine if kind == "cosine" else ((s - t) ** 2).mean())
    student[~tokens] = 1e4
    teacher[~tokens] = float("nan")
    distance = cosine_distance if kind == "cosine" else mean_square
    np.testing.assert_allclose(distance(student, teacher, tokens).item(), np.mean(values), rtol=1e-5)


def test_no_common_token_gives_zero_and_no_nan():
    student = random(2, 3, 4).requires_grad_()
    loss = cosine_distance(student, torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and torch.equal(student.grad, torch.zeros(2, 3, 4))


def test_pairs_of_layers():
    assert HiddenStates().layer_pairs(3, 6) == ((2, 5),)
    assert HiddenStates(layers="all").layer_pairs(3, 6) == ((0, 1), (1, 3), (2, 5))
    assert HiddenStates(layers=((0, 4),)).layer_pairs(3, 6) == ((0, 4),)
    with pytest.raises(InputError, match="outside the student's 3 or the teacher's 6"):
        HiddenStates(layers=((3, 4),)).layer_pairs(3, 6)


def test_all_layers_average_the_pairs():
    hidden = tuple(random(2, 3, 4, seed=n) for n in range(2))
    teacher = {layer: random(2, 3, 4, seed=10 + layer) for layer in (1, 3)}
    tokens = torch.ones(2, 3, dtype=torch.bool)
    given = replace(seen(random(2, 2)), student_hidden=hidden, teacher_hidden=teacher, teacher_layers=4, tokens=tokens)
    pairs = [mean_square(hidden[0], teacher[1], tokens), mean_square(hidden[1], teacher[3], tokens)]
    found = HiddenStates(kind="mean_square", layers="all").value(given)
    torch.testing.assert_close(found, torch.stack(pairs).mean())
