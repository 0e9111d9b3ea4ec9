"""Words, factors and shared blocks of one model: each stage meets what the others left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from compress.core.checkpoint.save import load, load_source, save
from compress.core.model.bundle import Bundle
from compress.core.model.sharing import is_shared
from compress.core.stage.context import Context
from compress.core.surgery.changes import KeepLayers
from compress.factorize.dense import MergeFactors
from compress.factorize.stage import Factorize
from compress.positions.stage import TrimPositions
from compress.prune.stage import Prune
from compress.share.change import UntieBlocks
from compress.share.stage import Share
from compress.vocabulary.stage import TrimVocabulary
from tests.compress.vocabulary.given import TEXTS, context, trained
from tests.tiny.stages import predicted, refused

WORDS = Factorize.model_validate({"what": "embeddings", "rank": 8, "recover": "none"})
LINEARS = Factorize.model_validate({"what": "linears", "rank": {"ratio": 0.5}, "recover": "none"})
SHARE = Share.model_validate({"what": "all", "groups": 2, "recover": "none"})
TRIM = TrimVocabulary(also=None)


def reopened(bundle: Bundle, directory: Path) -> Bundle:
    """As the engine hands a model from stage to stage: through a directory."""
    return load(save(bundle, directory))


def answers(bundle: Bundle) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = bundle.model.eval()(**bundle.processor(TEXTS, padding=True, return_tensors="pt")).logits
    return logits


def test_rows_of_a_factorized_table_go_and_the_answers_stay(tmp_path: Path) -> None:
    bundle = WORDS.run(trained(), Context())
    before, expected = bundle.sketch(), answers(bundle)
    after = TRIM.run(bundle, context())
    assert torch.allclose(answers(after), expected, atol=1e-6)
    gone = before.words.outputs - after.sketch().words.outputs
    assert gone > 0 and before.parameters - after.sketch().parameters == gone * 8
    save(after, tmp_path)
    assert torch.equal(answers(load(tmp_path)), answers(after))


def test_everything_that_makes_a_model_small_in_one_chain(tmp_path: Path) -> None:
    bundle = trained()
    prune = Prune.model_validate({"pattern": "neurons", "sparsity": 0.5, "criterion": "magnitude", "recover": "none"})
    for stage in (prune, TRIM, WORDS, SHARE, TrimPositions(length=16)):
        bundle = reopened(bundle, tmp_path / stage.name)
        assert refused(stage, bundle.sketch()) is None
        guessed = predicted(stage, bundle.copy())
        bundle = stage.run(bundle, context())
        if stage is not TRIM:
            assert guessed.sketch().parameters == bundle.sketch().parameters, stage.name
    assert bundle.states >= {"factorized", "shared", "trimmed"}
    save(bundle, tmp_path)
    opened = load(tmp_path)
    assert torch.equal(answers(opened), answers(bundle))
    assert sum(p.numel() for p in opened.model.parameters()) == bundle.sketch().parameters


def test_factors_are_not_averaged() -> None:
    bundle = LINEARS.run(trained(), Context())
    assert "two factors" in (refused(SHARE, bundle.sketch()) or "")
    dense = MergeFactors().run(bundle, Context())
    assert refused(SHARE, dense.sketch()) is None


def test_shared_linears_get_the_same_factors(tmp_path: Path) -> None:
    bundle = LINEARS.run(SHARE.run(trained(), Context()), Context())
    save(bundle, tmp_path)
    opened = load(tmp_path)
    assert torch.equal(answers(opened), answers(bundle))
    assert opened.sketch().parameters == bundle.sketch().parameters


def test_what_was_shared_no_longer_counts_once_the_layers_are_gone(tmp_path: Path) -> None:
    bundle = reopened(SHARE.run(trained(num_hidden_layers=4), Context()), tmp_path)
    bundle = WORDS.run(bundle.changed_by(KeepLayers(kept=(0, 2), of=4)), Context())
    assert torch.equal(answers(reopened(bundle, tmp_path / "short")), answers(bundle))


def test_factors_of_shared_blocks_are_multiplied_out_after_a_reload(tmp_path: Path) -> None:
    bundle = LINEARS.run(SHARE.run(WORDS.run(trained(), Context()), Context()), Context())
    opened = reopened(bundle, tmp_path)
    expected = answers(opened)
    dense = MergeFactors().run(opened, Context())
    assert torch.allclose(answers(reopened(dense, tmp_path / "dense")), expected, atol=1e-6)


@pytest.mark.parametrize("meta", (False, True))
def test_blocks_that_are_untied_after_a_reload_stay_untied(tmp_path: Path, meta: bool) -> None:
    save(SHARE.run(trained(), Context()), tmp_path)
    for opened in (load(tmp_path), load_source(tmp_path, head="sequence_classification", labels=None, meta=meta)):
        assert is_shared(opened.model, opened.family)
        opened = opened.changed_by(UntieBlocks())
        model: Any = opened.model
        model.tie_weights()
        assert not is_shared(model, opened.family)
