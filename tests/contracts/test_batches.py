"""An answer to a row does not depend on the other rows of its batch, whatever side the tokenizer pads on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.core.checkpoint.reconcile import reconciled
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import position_count, position_limit
from compress.core.model.evaluation import forward
from finetune.tasks.encoding import tokenize
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_rows

TEXTS = [row["text"] for row in tiny_rows(6)]
WITH_TEXT = [name for name in FAMILIES if name not in IMAGE_FAMILIES]


@pytest.mark.parametrize("name", WITH_TEXT)
def test_answers_do_not_depend_on_the_batch(name: str) -> None:
    bundle = tiny_bundle(name, num_hidden_layers=2)
    bundle.processor.model_input_names = ["input_ids"]
    for side in ("left", "right"):
        bundle.processor.padding_side = side
        notes = reconciled(bundle.processor, bundle.config, bundle.family)
        assert len(notes) == (side == "left")
        for columns in ([TEXTS], [TEXTS, TEXTS[::-1]]):
            assert_independent(bundle, columns)


def assert_independent(bundle: Bundle, columns: list[list[str]]) -> None:
    ids = np.arange(len(TEXTS))
    encoded = tokenize(columns, bundle.processor, max_length=40, labels=ids, row_ids=ids)
    assert len(set(encoded.lengths)) > 1
    with torch.no_grad():
        together = forward(bundle, encoded.batch(ids)).logits
        alone = torch.cat([forward(bundle, encoded.batch([row])).logits for row in ids])
        batch = bundle.processor(*columns, padding=True, return_attention_mask=True, return_tensors="pt")
        served = bundle.model(**batch).logits
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(served, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", WITH_TEXT)
def test_the_limit_of_positions_is_that_of_the_table(name: str) -> None:
    bundle = tiny_bundle(name, num_hidden_layers=2)
    limit = position_limit(bundle.config, bundle.family)
    if bundle.family.position_embedding and limit is not None:
        assert limit == position_count(bundle.model, bundle.family)
        longest = torch.full((1, limit), 9)
        longest[:, -1] = bundle.config.eos_token_id
        assert bundle.model(longest).logits.isfinite().all()
        with pytest.raises((IndexError, RuntimeError)):
            bundle.model(torch.cat([longest[:, :1], longest], dim=1))
    else:
        assert limit is None
