"""A tuned model becomes one of its own: the same answers, plain linears, saved whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import finetune
from compress.core.checkpoint.architecture import is_stock
from compress.core.checkpoint.save import load, save
from compress.core.errors import Refusal
from compress.core.model.bundle import Bundle, Tuned
from compress.core.stage.context import Context
from finetune.delta.opening import open_directory
from finetune.delta.record import base_fingerprint
from finetune.merge.stage import Merge
from finetune.method import Method
from finetune.stage import Finetune
from tests.finetune.methods.steps import few_steps
from tests.tiny import FAMILIES, tiny_bundle, tiny_logits
from tests.tiny.stages import predicted, refused

SOME = ("albert", "bert", "gpt2", "modernbert", "t5")
MERGEABLE = [("lora", name) for name in FAMILIES] + [(m, name) for m in ("ia3", "dora", "bitfit") for name in SOME]
STORED = [(m, base) for m in ("bitfit", "lora", "ia3") for base in ("int8", "nf4", "fp4", "bf16")]


def tuned(base: Bundle, method: str, storage: str = "fp32") -> Bundle:
    """A copy of `base` after three steps, as the stage leaves it."""
    stage = Finetune(method=Method.parse(method), base=storage)
    bundle = base.copy()
    fingerprint = base_fingerprint(base.model, base.family)
    bundle = predicted(stage, bundle)
    names = stage.method.trainable(bundle)
    few_steps(bundle, names)
    bundle.tuned = Tuned(method, names, len(base.changes), fingerprint)
    return bundle


@pytest.mark.parametrize(("method", "name"), MERGEABLE)
def test_merged_answers_as_unmerged_and_is_saved_whole(method: str, name: str, tmp_path: Path) -> None:
    bundle = tuned(tiny_bundle(name), method)
    expected = tiny_logits(bundle)
    merged = Merge().run(bundle, Context())
    assert torch.allclose(tiny_logits(merged), expected, atol=1e-5)
    assert merged.states == {"head_trained"} and merged.tuned is None
    assert merged.changes[-1].data() == {"kind": "merged", "to": "dense", "method": method}
    if method != "bitfit":
        assert is_stock(merged.model, merged.family)
        assert set(merged.model.state_dict()) == set(tiny_bundle(name).model.state_dict())
    save(merged, tmp_path)
    assert torch.equal(tiny_logits(load(tmp_path)), tiny_logits(merged))


@pytest.mark.parametrize(("method", "base"), STORED)
def test_a_base_of_few_bits_is_made_dense_and_then_merged(method: str, base: str) -> None:
    bundle = tuned(tiny_bundle("bert"), method, base)
    expected = tiny_logits(bundle)
    merged = Merge().run(bundle, Context())
    # The runtime of few bits rounds what it is given (int8) or computes in bf16; the weights are the same.
    assert torch.allclose(tiny_logits(merged), expected, atol=0.05)
    assert type(merged.model.bert.encoder.layer[0].intermediate.dense) is torch.nn.Linear
    assert merged.states == {"head_trained"}


@pytest.mark.parametrize("base", ["int8", "nf4", "fp4"])
def test_what_does_not_change_weights_keeps_the_storage_exactly(base: str, tmp_path: Path) -> None:
    bundle = tuned(tiny_bundle("bert"), "bitfit", base)
    expected = tiny_logits(bundle)
    merged = Merge(to="quantized").run(bundle, Context())
    assert torch.equal(tiny_logits(merged), expected)
    assert merged.states == {"head_trained", "quantized"}
    save(merged, tmp_path)
    assert torch.equal(tiny_logits(load(tmp_path)), expected)


def test_what_changes_weights_is_rounded_again_and_says_so() -> None:
    ctx = Context()
    bundle = tuned(tiny_bundle("bert"), "lora", "nf4")
    expected = tiny_logits(bundle)
    merged = Merge(to="quantized").run(bundle, ctx)
    assert "rounded_again" in ctx.facts
    assert merged.states == {"head_trained", "quantized"}
    assert not torch.equal(tiny_logits(merged), expected)


@pytest.mark.parametrize("method", ["pfeiffer", "prompt", "prefix"])
def test_what_cannot_be_folded_into_weights_is_refused_with_its_reason(method: str) -> None:
    bundle = tuned(tiny_bundle("bert"), method)
    expected = tiny_logits(bundle)
    with pytest.raises(Refusal, match="cannot be merged"):
        Merge().run(bundle, Context())
    assert torch.equal(tiny_logits(bundle), expected)


def test_there_is_no_storage_to_keep_in_fp32() -> None:
    refusal = refused(Merge(to="quantized"), tuned(tiny_bundle("bert"), "lora").sketch())
    assert refusal is not None and "to: dense" in refusal


@pytest.mark.parametrize(
    ("method", "base"), [("lora", "nf4"), ("bitfit", "int8"), ("pfeiffer", "nf4"), ("ia3", "fp32")]
)
def test_a_delta_on_any_base_opens_again(method: str, base: str, tmp_path: Path) -> None:
    save(tiny_bundle("bert"), tmp_path / "base")
    bundle = tuned(load(tmp_path / "base"), method, base)
    finetune.save_delta(bundle, tmp_path / "delta", base=tmp_path / "base")
    again = open_directory(tmp_path / "delta")
    assert torch.equal(tiny_logits(again), tiny_logits(bundle))
    assert again.states == bundle.states and again.tuned == replace(bundle.tuned, names=again.tuned.names)
    if method != "pfeiffer":
        assert torch.equal(tiny_logits(Merge().run(again, Context())), tiny_logits(Merge().run(bundle, Context())))
