"""Biases that T5 never had: nothing changes with them at first, they train, and merged they are T5's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import finetune
from compress.core.checkpoint.open import quiet
from compress.core.checkpoint.save import load, save
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.core.surgery.heads_and_neurons import keep_neurons, neuron_counts
from finetune.inserted.adapters.biases import AddZeroBiases, Biased
from finetune.merge.stage import Merge
from finetune.methods.bitfit import Bitfit
from finetune.parameters.names import head_names
from finetune.stage import Finetune
from tests.finetune.methods.steps import few_steps
from tests.tiny import tiny_bundle, tiny_logits

SHORT = TrainPlan(max_steps=3, batch_size=16, precision="fp32", learning_rate=1e-2, warmup=0.0)
Make = Callable[..., Context]


def biased(**config: Any) -> Bundle:
    bundle = tiny_bundle("t5", **config)
    return bundle.changed_by(Bitfit().change(bundle.sketch()))


@pytest.mark.parametrize("form", ["relu", "gated-gelu"])
def test_every_linear_of_the_encoders_blocks_gets_a_bias_of_zeros(form: str) -> None:
    config = {"feed_forward_proj": form}
    bundle = biased(**config)
    assert torch.equal(tiny_logits(bundle), tiny_logits(tiny_bundle("t5", **config)))
    names = AddZeroBiases().inserted(bundle)
    assert len(names) == 4 * (7 if form == "gated-gelu" else 6)
    assert all(name.startswith("transformer.encoder.block.") for name in names)
    assert names == Bitfit().trainable(bundle) - head_names(bundle)
    assert not any(bundle.model.get_parameter(name).any() for name in names)
    few_steps(bundle, Bitfit().trainable(bundle))
    assert all(bundle.model.get_parameter(name).any() for name in names)


def test_the_count_at_full_size_without_weights() -> None:
    from transformers import AutoModelForSequenceClassification, T5Config

    with torch.device("meta"), quiet():
        bundle = Bundle(AutoModelForSequenceClassification.from_config(T5Config()), None)
    bundle = bundle.changed_by(Bitfit().change(bundle.sketch()))
    names = AddZeroBiases().inserted(bundle)
    # Of query, key, value, output, up, down in each of six layers of T5-small.
    assert sum(bundle.model.get_parameter(name).numel() for name in names) == 6 * (4 * 512 + 2048 + 512)


def test_the_smaller_set_is_query_and_up_here_too() -> None:
    names = Bitfit(biases="query_and_up").trainable(biased())
    kinds = {name.split(".")[-2] for name in names if ".block." in name}
    assert kinds == {"q", "wi"}


def test_the_stage_says_how_many_were_added_and_its_delta_loads_again(context: Make, tmp_path: Path) -> None:
    ctx = context()
    after = Finetune(method=Bitfit(), train=SHORT).run(tiny_bundle("t5"), ctx)
    assert ctx.facts["added_biases"] == 4 * (5 * 32 + 48)
    assert {"adapted", "head_trained"} <= after.states
    finetune.save_delta(after, tmp_path)
    again = finetune.load(tiny_bundle("t5"), tmp_path)
    assert torch.equal(tiny_logits(again), tiny_logits(after))
    assert again.states == after.states


def test_the_stage_counts_modernberts_too_and_none_where_all_were_there(context: Make) -> None:
    ctx = context()
    Finetune(method=Bitfit(), train=SHORT).run(tiny_bundle("modernbert"), ctx)
    # Wqkv, Wo, Wi, Wo; two norms in each layer but the first, which has one; the embeddings' and the last.
    assert ctx.facts["added_biases"] == 4 * (96 + 32 + 96 + 32) + (2 * 4 - 1 + 2) * 32
    ctx = context()
    Finetune(method=Bitfit(), train=SHORT).run(tiny_bundle("bert"), ctx)
    assert "added_biases" not in ctx.facts


@pytest.mark.parametrize("cut", [False, True])
def test_merged_biases_are_the_linears_own_and_are_saved_with_the_model(
    cut: bool, context: Make, tmp_path: Path
) -> None:
    source = tiny_bundle("t5")
    if cut:
        counts = neuron_counts(source.model, source.family)
        keep_neurons(source.model, source.family, tuple(tuple(range(2 + number)) for number, _ in enumerate(counts)))
    after = Finetune(method=Bitfit(), train=SHORT).run(source, context())
    expected = tiny_logits(after)
    merged = Merge().run(after, context())
    assert isinstance(merged, Bundle) and "adapted" not in merged.states
    assert not any(isinstance(module, Biased) for module in merged.model.modules())
    torch.testing.assert_close(tiny_logits(merged), expected, atol=1e-5, rtol=1e-5)
    again = load(save(merged, tmp_path))
    assert torch.equal(tiny_logits(again), tiny_logits(merged))
    assert again.model.config.model_type == "trimformer_t5"


def test_a_merged_model_can_be_tuned_and_cut_again(context: Make) -> None:
    merged = Merge().run(Finetune(method=Bitfit(), train=SHORT).run(tiny_bundle("t5"), context()), context())
    assert isinstance(merged, Bundle)
    before = tiny_logits(merged)
    again = merged.changed_by(Bitfit().change(merged.sketch()))
    assert torch.equal(tiny_logits(again), before)
    assert not AddZeroBiases().inserted(again)
    assert len(Bitfit().trainable(again) - head_names(again)) == 24
