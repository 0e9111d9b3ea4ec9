"""A delta alone makes its base the tuned model, on no other base, and many share one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import finetune
from compress.core.checkpoint.save import save
from compress.core.errors import InputError, UnknownName
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle, Tuned
from compress.core.model.change import Nothing
from finetune.context import make_context
from finetune.delta.opening import open_directory
from finetune.delta.record import base_fingerprint, delta_bytes
from finetune.delta.saving import move_base
from finetune.methods.bitfit import Bitfit
from finetune.methods.full import Full
from finetune.methods.head import Head
from finetune.methods.layer_norm import LayerNorm
from finetune.stage import Finetune
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from tests.finetune.methods.steps import few_steps
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_classifier_directory, tiny_logits

SHORT = TrainPlan(max_steps=2, batch_size=16, precision="fp32", learning_rate=1e-2)
TEXT = sorted(set(FAMILIES) - IMAGE_FAMILIES - {"t5"})


def tuned(bundle: Bundle, method, task: TextClassification, splits: Splits, directory: Path) -> tuple[Bundle, dict]:
    ctx = make_context(task, splits, seed=0, device=torch.device("cpu"), scratch=None)
    after = Finetune(method=method, train=SHORT).run(bundle.copy(), ctx)
    finetune.save_delta(after, directory)
    return after, ctx.facts


@pytest.mark.parametrize("name", TEXT)
def test_base_and_delta_are_the_tuned_model(name: str, tmp_path: Path) -> None:
    base = tiny_bundle(name)
    after = base.copy()
    change = Bitfit().change(after.sketch())
    after = after if isinstance(change, Nothing) else after.changed_by(change)
    names = Bitfit().trainable(after)
    few_steps(after, names)
    after.tuned = Tuned("bitfit", names, 0, base_fingerprint(base.model, base.family))
    finetune.save_delta(after, tmp_path)
    untouched = tiny_logits(base)
    assert torch.equal(tiny_logits(finetune.load(base, tmp_path)), tiny_logits(after))
    assert torch.equal(tiny_logits(base), untouched)
    assert (tmp_path / "delta.safetensors").stat().st_size == delta_bytes(after.model, names)
    record = json.loads((tmp_path / "delta_config.json").read_text())
    assert record["method"] == "bitfit" and record["base"]["fingerprint"].startswith("sha256:")
    assert record["trained"] == sorted(names)
    assert not (tmp_path / "adapter_config.json").exists()


def test_the_stage_says_how_large_its_delta_is(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    after, facts = tuned(tiny_bundle("bert"), LayerNorm(), task, splits, tmp_path)
    assert (tmp_path / "delta.safetensors").stat().st_size == facts["delta_bytes"]
    assert finetune.load(tiny_bundle("bert"), tmp_path).states == after.states == {"head_trained"}


def test_a_base_of_the_hub_is_opened_with_the_head_that_the_delta_needs(
    task: TextClassification, splits: Splits, tmp_path: Path
) -> None:
    from compress.core.checkpoint.for_task import load_source

    directory = tiny_classifier_directory(tmp_path / "base", "bert", labels=5)
    base = load_source(directory, head="sequence_classification", labels=("bad", "good"), seed=3)
    after, _ = tuned(base, LayerNorm(), task, splits, tmp_path / "delta")
    assert torch.equal(tiny_logits(finetune.load(directory, tmp_path / "delta")), tiny_logits(after))


def test_a_delta_is_small_and_its_size_is_foretold() -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    with torch.device("meta"):
        bundle = Bundle(AutoModelForSequenceClassification.from_config(AutoConfig.for_model("bert")), None)
    assert 4 * 102_912 < delta_bytes(bundle.model, Bitfit().trainable(bundle)) < 460_000


def test_another_base_is_refused(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    base = tiny_bundle("bert")
    tuned(base, LayerNorm(), task, splits, tmp_path)
    with pytest.raises(InputError, match="of another base"):
        finetune.load(tiny_bundle("bert", seed=1), tmp_path)
    with pytest.raises(InputError, match="of another base"):
        finetune.load(tiny_bundle("roberta"), tmp_path)
    with pytest.raises(InputError, match="no delta"):
        finetune.load(base, tmp_path / "nowhere")


def test_several_deltas_share_one_base(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    base = tiny_bundle("modernbert")
    expected = {
        method.name: tiny_logits(tuned(base, method, task, splits, tmp_path / method.name)[0])
        for method in (Bitfit(), LayerNorm(), Head())
    }
    untouched = tiny_logits(base)
    many = finetune.Deltas(base)
    many.add("layer_norm", tmp_path / "layer_norm")
    assert torch.equal(tiny_logits(many.use("layer_norm")), expected["layer_norm"])
    # A delta that brings new parameters changes nothing for the others while it is not in use.
    many.add("bitfit", tmp_path / "bitfit")
    many.add("head", tmp_path / "head")
    for name in ("bitfit", "head", "layer_norm", "head", "bitfit", "layer_norm"):
        assert torch.equal(tiny_logits(many.use(name)), expected[name]), name
        assert many.active == name
    assert torch.equal(tiny_logits(many.use(None)), untouched)
    with pytest.raises(UnknownName, match="did you mean 'bitfit'"):
        many.use("bitfitt")


def test_a_delta_follows_a_saved_base(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    from compress.core.checkpoint.save import load

    save(tiny_bundle("bert"), tmp_path / "base")
    after, _ = tuned(load(tmp_path / "base"), Bitfit(), task, splits, tmp_path / "delta")
    finetune.save_delta(after, tmp_path / "delta", base=tmp_path / "base")
    assert torch.equal(tiny_logits(open_directory(tmp_path / "delta")), tiny_logits(after))
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="base of the delta is not there"):
        open_directory(tmp_path / "delta")
    move_base(tmp_path / "delta", tmp_path / "moved")
    assert torch.equal(tiny_logits(open_directory(tmp_path / "delta")), tiny_logits(after))


def test_what_moved_every_weight_is_no_delta(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no delta to save"):
        tuned(tiny_bundle("bert"), Full(), task, splits, tmp_path)


def test_a_delta_is_not_taken_for_a_model(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    from compress.core.checkpoint.save import load

    tuned(tiny_bundle("bert"), Bitfit(), task, splits, tmp_path)
    with pytest.raises(InputError, match="no model without its base"):
        load(tmp_path)
