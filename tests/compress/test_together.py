"""Words, factors and shared blocks of one model: each stage meets what the others left."""

from __future__ import annotations

from pathlib import Path

import torch

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.saving import load, save
from compress.factorize.dense import MergeFactors
from compress.factorize.stage import Factorize
from compress.positions.stage import TrimPositions
from compress.prune.stage import Prune
from compress.share.stage import Share
from compress.vocabulary.stage import TrimVocabulary
from tests.compress.vocabulary.given import TEXTS, context, trained

WORDS = Factorize.model_validate({"what": "embeddings", "rank": 8, "recover": "none"})
LINEARS = Factorize.model_validate({"what": "linears", "rank": {"ratio": 0.5}, "recover": "none"})
SHARE = Share.model_validate({"what": "all", "groups": 2, "recover": "none"})
TRIM = TrimVocabulary(also=None)


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
        assert stage.refuses(bundle.sketch()) is None
        guessed = stage.apply(bundle.copy(), stage.guess(bundle.sketch()))
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
    assert "two factors" in (SHARE.refuses(bundle.sketch()) or "")
    dense = MergeFactors().run(bundle, Context())
    assert SHARE.refuses(dense.sketch()) is None


def test_shared_linears_get_the_same_factors(tmp_path: Path) -> None:
    bundle = LINEARS.run(SHARE.run(trained(), Context()), Context())
    save(bundle, tmp_path)
    opened = load(tmp_path)
    assert torch.equal(answers(opened), answers(bundle))
    assert opened.sketch().parameters == bundle.sketch().parameters
