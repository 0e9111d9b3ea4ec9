"""Evaluation mode and back, the entries of a batch that enter a model, and the padding mask."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.core.model.evaluation import accepted, evaluating, forward, model_inputs, padding_mask, real_tokens
from tests.tiny import tiny_bundle, tiny_inputs


def modes(model):
    return {path: module.training for path, module in model.named_modules()}


def mixed():
    """A bundle in training, of whose model one part is in evaluation mode."""
    bundle = tiny_bundle("bert")
    bundle.model.train()
    next(m for m in bundle.model.modules() if isinstance(m, nn.Dropout)).eval()
    return bundle


def test_an_error_leaves_the_model_in_its_mode():
    bundle = mixed()
    before = modes(bundle.model)
    with pytest.raises(ZeroDivisionError), evaluating(bundle.model):
        assert not any(modes(bundle.model).values())
        raise ZeroDivisionError
    assert modes(bundle.model) == before
    with pytest.raises(ValueError, match="input_ids"):
        forward(bundle, {"labels": torch.zeros(1)})
    assert modes(bundle.model) == before


def test_labels_and_row_ids_are_no_inputs():
    batch = {"input_ids": torch.ones(1, 2), "token_type_ids": torch.ones(1, 2), "labels": 0, "row_id": 1}
    assert list(model_inputs(batch)) == ["input_ids", "token_type_ids"]
    distilbert = tiny_bundle("distilbert").model
    assert list(model_inputs(batch, distilbert)) == ["input_ids"]
    assert "labels" not in accepted(distilbert)


def test_the_forward_pass_is_without_dropout():
    bundle = tiny_bundle("bert")
    batch = tiny_inputs(bundle)
    bundle.model.train()
    assert torch.equal(forward(bundle, batch).logits, forward(bundle, {**batch, "row_id": torch.zeros(1)}).logits)


def test_without_padding_every_token_counts():
    hidden, mask = torch.zeros(2, 3, 4), torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert padding_mask({}) is None
    assert real_tokens({}, hidden).all()
    assert torch.equal(real_tokens({"attention_mask": mask}, hidden), mask.bool())
