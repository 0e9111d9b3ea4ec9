"""The head on a learned mix of layers: the cache and the model compute the same, before and after training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compress.core.errors import Refusal, StageFailed
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.cached.features import CachedFeatures
from finetune.delta.opening import load_delta
from finetune.delta.saving import save_delta
from finetune.inserted.mix.insert import InsertLayerMix, mix_of
from finetune.merge.stage import Merge
from finetune.method import only_trained
from finetune.methods.head import Head
from finetune.stage import Finetune
from finetune.tasks.text_classification import TextClassification
from tests.finetune.cached.test_head import TEXT, tiny
from tests.tiny import IMAGE_FAMILIES, tiny_bundle, tiny_inputs
from tests.tiny.stages import refused

PLAN = TrainPlan(epochs=2, batch_size=16, precision="fp32", learning_rate=1e-2)
DECODERS = {"t5", "bart"}
MIXED = [name for name in TEXT if name not in DECODERS]
MIX = Head(features="mix")
Make = Callable[..., Context]


def mixing(name: str, **config: Any) -> Bundle:
    bundle = tiny(name) if not config else tiny_bundle(name, **config)
    return bundle.changed_by(MIX.change(bundle.sketch()))


def hidden_states(bundle: Bundle, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """transformers' own, of the model without a mix."""
    output: tuple[Tensor, ...] = bundle.model(**inputs, output_hidden_states=True).hidden_states
    return output


@pytest.mark.parametrize("name", MIXED)
def test_loss_and_gradients_are_those_of_the_whole_model(name: str, context: Make, task: TextClassification) -> None:
    ctx, bundle = context(), mixing(name)
    names = MIX.trainable(bundle)
    with torch.no_grad():
        mix_of(bundle.model).weights.copy_(torch.linspace(-1, 1, len(mix_of(bundle.model).weights)))
        mix_of(bundle.model).gamma.fill_(1.3)
    objective = CachedFeatures(bundle, names, ctx)
    (batch,) = ctx.batches(bundle, count=1, batch_size=16)
    trained = [dict(bundle.model.named_parameters())[path] for path in sorted(names)]
    found = []
    with only_trained(bundle.model, names):
        for loss in (objective(bundle.model, batch), task.objective(bundle.model, batch)):
            found.append((loss, torch.autograd.grad(loss, trained)))
    (cached, gradients), (plain, expected) = found
    assert torch.allclose(cached, plain, atol=1e-5)
    for path, one, other in zip(sorted(names), gradients, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4), path
        # A last norm behind the mix takes gamma away again.
        assert other.abs().max() > 1e-6 or path.endswith("gamma"), path
    assert not any("forward" in vars(module) for module in bundle.model.modules())


@pytest.mark.parametrize("name", ["bert", "albert", "deberta-v2"])
def test_it_starts_as_the_mean_of_all_layers(name: str) -> None:
    plain = tiny(name)
    mixed = plain.copy().changed_by(MIX.change(plain.sketch()))
    inputs = tiny_inputs(plain)
    with torch.no_grad():
        expected = torch.stack(hidden_states(plain, inputs)).mean(0)
        given = mixed.model.base_model(**inputs)
    assert len(mix_of(mixed.model).weights) == 5, "four layers and the embeddings"
    assert torch.allclose(given.last_hidden_state, expected, atol=1e-5)


def test_all_of_the_last_layer_is_the_model_without_a_mix() -> None:
    plain = tiny("bert")
    mixed = plain.copy().changed_by(MIX.change(plain.sketch()))
    with torch.no_grad():
        mix_of(mixed.model).weights[-1] = 50.0
        inputs = tiny_inputs(plain)
        assert torch.allclose(plain.model(**inputs).logits, mixed.model(**inputs).logits, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "albert", "gpt2", "modernbert"])
def test_what_was_trained_on_the_cache_is_what_the_saved_model_computes(
    name: str, context: Make, tmp_path: Path
) -> None:
    ctx, base = context(), tiny(name)
    before = {path: value.clone() for path, value in base.model.state_dict().items()}
    tuned = Finetune(method=MIX, train=PLAN).run(base.copy(), ctx)
    names = MIX.trainable(tuned)
    parameters = dict(tuned.model.named_parameters())
    frozen = {path for path in before if path not in names}
    assert all(torch.equal(tuned.model.state_dict()[path], before[path]) for path in frozen)
    assert all(not torch.equal(parameters[path], before[path]) for path in names if path in before)
    mix = mix_of(tuned.model)
    assert mix.weights.abs().min() > 0 and mix.gamma != 1
    assert sum(ctx.facts["layer_shares"]) == pytest.approx(1, abs=1e-3)
    assert tuned.states >= {"adapted", "head_trained"}
    save_delta(tuned, tmp_path)
    opened = load_delta(base, tmp_path)
    inputs = tiny_inputs(base)
    with torch.no_grad():
        assert torch.equal(opened.model.eval()(**inputs).logits, tuned.model.eval()(**inputs).logits)


def test_a_copy_mixes_on_its_own() -> None:
    bundle = mixing("bert")
    inputs = tiny_inputs(bundle)
    with torch.no_grad():
        before = bundle.model(**inputs).logits
        copy = bundle.copy()
        mix_of(copy.model).gamma.zero_()
        assert not torch.equal(copy.model(**inputs).logits, before)
        assert torch.equal(bundle.model(**inputs).logits, before)


def test_a_pass_that_broke_off_leaves_nothing_behind() -> None:
    bundle = mixing("albert")
    inputs = tiny_inputs(bundle)
    calls: list[int] = []

    def broken(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with torch.no_grad():
        expected = bundle.model(**inputs).logits
        handle = next(bundle.family.module_list(bundle.model).children()).register_forward_hook(broken)
        with pytest.raises(KeyboardInterrupt):
            bundle.model(**inputs)
        handle.remove()
        assert torch.equal(bundle.model(**inputs).logits, expected)


@pytest.mark.parametrize("family", sorted(set(MIXED) | IMAGE_FAMILIES))
def test_the_change_is_the_same_on_the_meta_device(family: str) -> None:
    real, meta = tiny_bundle(family), tiny_bundle(family)
    meta.model.to("meta")
    counts = [{p: v.shape for p, v in mixed.model.named_parameters()} for mixed in (
        bundle.changed_by(MIX.change(bundle.sketch())) for bundle in (real, meta)
    )]  # fmt: skip
    assert counts[0] == counts[1]
    added = InsertLayerMix(layers=1).inserted(real)
    assert sum(real.model.get_parameter(path).numel() for path in added) == 4 + 1 + 1


def test_what_cannot_be_is_refused(context: Make) -> None:
    for name in sorted(DECODERS):
        why = MIX.refuses(tiny_bundle(name).sketch())
        assert why and "decoder" in why
        assert Head().refuses(tiny_bundle(name).sketch()) is None
    with pytest.raises(Refusal, match="already"):
        mixing("bert").changed_by(InsertLayerMix(layers=4))
    tuned = Finetune(method=MIX, train=PLAN).run(tiny("bert"), context())
    assert "sum over all layers" in (refused(Merge(), tuned.sketch()) or refusal(tuned))


def refusal(tuned: Bundle) -> str:
    with pytest.raises(Refusal) as caught:
        Merge().run(tuned, Context())
    return str(caught.value)


def test_a_head_that_reads_more_than_one_place_is_refused(context: Make) -> None:
    bundle = mixing("modernbert", classifier_pooling="mean")
    with pytest.raises(StageFailed, match="more of a row than one place"):
        CachedFeatures(bundle, MIX.trainable(bundle), context())


def test_no_block_runs_on_the_cache(context: Make) -> None:
    bundle, ctx = mixing("bert"), context()
    runs: list[int] = []
    attention: nn.Module = next(bundle.family.block_parts(bundle.model, "query"))
    attention.register_forward_hook(lambda *_: runs.append(1))
    objective = CachedFeatures(bundle, MIX.trainable(bundle), ctx)
    gathered = len(runs)
    assert objective.bytes == len(objective) * 5 * 32 * 4 == MIX.cached_bytes(bundle, len(objective))
    with only_trained(bundle.model, MIX.trainable(bundle)):
        ctx.fit(bundle, objective, PLAN)
    assert len(runs) - gathered <= 2, "the count of operations runs single rows"
