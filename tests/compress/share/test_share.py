"""The stage: one tensor for the blocks of a group, trained as one, and saved once."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError

from compress.core.checkpoint.architecture import is_stock
from compress.core.checkpoint.save import load, save
from compress.core.model.bundle import Bundle
from compress.core.model.change import change_from_data
from compress.core.model.sharing import is_shared, shared_parts
from compress.core.stage.context import Context
from compress.core.surgery.heads_and_neurons import keep_heads, keep_neurons
from compress.distill.recover import Recover
from compress.share.change import ShareBlocks
from compress.share.origins.first import First
from compress.share.origins.mean import Mean
from compress.share.origins.pick import Pick
from compress.share.stage import Share, Untie
from tests.compress.distill.stub import ROWS, encode, stub_context
from tests.compress.share.given import NAMES, PAIRS, PARTS, shared, shared_copies, trained
from tests.tiny import tiny_bundle, tiny_logits
from tests.tiny.stages import declared, predicted, refused


@pytest.mark.parametrize("what", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_it_answers_as_copies_do_and_comes_back_from_disk_and_from_sharing(name, what, tmp_path):
    plain = trained(name)
    before = plain.sketch().parameters
    bundle = shared(name, what=what)
    expected = tiny_logits(bundle)
    torch.testing.assert_close(expected, tiny_logits(shared_copies(plain, PAIRS, what)), atol=1e-6, rtol=0)
    assert (expected - tiny_logits(plain)).abs().max() > 1e-3
    groups = [part["groups"] for part in shared_parts(bundle.model, bundle.family)]
    # ModernBERT's first block lacks a norm, so the second has it for itself.
    assert groups[0] == [[0, 1], [2, 3]] and groups[1:] in ([], [[[2, 3]]])
    assert bundle.sketch().parameters == sum(p.numel() for p in bundle.model.parameters()) < before
    assert not is_stock(bundle.model, bundle.family)

    loaded = load(save(bundle, tmp_path))
    assert torch.equal(tiny_logits(loaded), expected)
    assert loaded.sketch() == bundle.sketch() and "shared" in loaded.states
    assert shared_parts(loaded.model, loaded.family) == shared_parts(bundle.model, bundle.family)
    assert loaded.changes == bundle.changes and isinstance(loaded.changes[-1], ShareBlocks)
    # Once on disk: the weights, and a header.
    size = (tmp_path / "model.safetensors").stat().st_size
    assert 0 < size - bundle.sketch().bytes < 20_000

    apart = Untie().run(loaded, Context())
    assert torch.equal(tiny_logits(apart), expected) and apart.sketch().parameters == before
    assert not is_shared(apart.model, apart.family) and "shared" not in apart.states
    assert is_stock(apart.model, apart.family)


@pytest.mark.parametrize("name", NAMES)
def test_the_guess_has_the_size_of_the_result_without_weights(name):
    stage = Share(groups=3, recover=None)
    bundle = trained(name)
    with torch.device("meta"):
        meta = Bundle(type(bundle.model)(tiny_bundle(name).config), bundle.processor, states=bundle.states)
    assert refused(stage, meta.sketch()) is None
    guessed = predicted(stage, meta)
    assert guessed.device.type == "meta"
    assert guessed.sketch() == stage.run(bundle, Context()).sketch()


def test_a_shared_tensor_is_trained_as_one():
    bundle = shared(groups=1)
    apart = Untie().run(bundle.copy(), Context())
    for model in (bundle, apart):
        model.model.train(False)
        stub_context().task.objective(model.model, encode(model, ROWS)).backward()
    one = [block.output.dense.weight.grad for block in bundle.family.module_list(bundle.model)]
    many = [block.output.dense.weight.grad for block in apart.family.module_list(apart.model)]
    assert all(grad is one[0] for grad in one)
    torch.testing.assert_close(one[0], sum(many[1:], many[0]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("by", [Mean(), First(), Pick(batches=2, batch_size=8)])
def test_run_shares_and_recovers(by, tmp_path):
    ctx = stub_context(tmp_path)
    bundle = Share(groups=2, by=by, recover=Recover()).run(trained(), ctx)
    assert ctx.facts["recovery"]["teacher"] == "the model before the cut"
    assert len(shared_parts(bundle.model, bundle.family)) == 1
    expected = tiny_logits(bundle)
    assert torch.equal(tiny_logits(load(save(bundle, tmp_path / "saved"))), expected)


def test_recovery_repairs_some_of_the_damage(tmp_path):
    quiet = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    ctx = stub_context(tmp_path, steps=25)
    Share(groups=2).run(trained(**quiet), ctx)
    assert ctx.fit.losses[-1] < 0.5 * ctx.fit.losses[0]


def test_what_only_some_blocks_have_stays_theirs():
    t5 = shared("t5", groups=1)
    owners = [name for name, _ in t5.model.base_model.encoder.named_parameters() if "relative_attention_bias" in name]
    assert owners == ["block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    modern = shared("modernbert", groups=1, by=First())
    blocks = modern.family.module_list(modern.model)
    assert isinstance(blocks[0].attn_norm, torch.nn.Identity)
    assert len({id(block.attn_norm.weight) for block in blocks[1:]}) == 1


def test_uniformly_cut_blocks_can_be_shared(tmp_path):
    bundle = trained()
    keep_heads(bundle.model, bundle.family, tuple((n % 2, 2) for n in range(4)))
    keep_neurons(bundle.model, bundle.family, ((0, 3, 5),) * 4)
    bundle = Share(groups=1, recover=None).run(bundle, Context())
    expected = tiny_logits(bundle)
    loaded = load(save(bundle, tmp_path))
    assert torch.equal(tiny_logits(loaded), expected) and loaded.sketch() == bundle.sketch()
    record = json.loads((tmp_path / "config.json").read_text())["trimformer"]
    assert record["shapes"] and record["shared"]


def test_settings_and_changes_as_plain_data():
    assert Share(recover=None).recipe_form() == {"share": {"recover": None}}
    assert Share(by="pick", recover="none").requires().data and not Share(recover="none").requires().data
    assert Share().requires().draws and not Share(recover="none", by="first").requires().draws
    assert any("not faster" in remark for remark in declared(Share(), trained().sketch()).remarks)
    change = declared(Share(groups=2, recover=None), trained().sketch()).change
    assert change_from_data(change.data()) == change
    assert change.summary(trained().sketch()) == {"shared": "all", "groups": [[0, 1], [2, 3]], "made_of": [[0], [2]]}
    with pytest.raises(ValidationError):
        Share(what="embeddings")
    with pytest.raises(ValidationError):
        Share(groups=0)
