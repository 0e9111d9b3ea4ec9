"""The stage: one tensor for the blocks of a group, counted once, trained as one, and saved once."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError

from compress.core.bundle import Bundle
from compress.core.change import change_from_data
from compress.core.context import Context
from compress.core.errors import InputError, Refusal
from compress.core.families.family import family_of
from compress.core.heads import keep_heads, keep_neurons
from compress.core.saving import load, save
from compress.core.sharing import is_shared, mean_of, share_blocks, shared_parts
from compress.core.sketch import Sketch
from compress.core.stock import is_stock
from compress.distill.recover import Recover
from compress.prune.stage import Prune
from compress.share.change import ShareBlocks
from compress.share.groups import even_groups
from compress.share.origin import Origin
from compress.share.origins.first import First
from compress.share.origins.mean import Mean
from compress.share.origins.pick import Pick, relative_error
from compress.share.stage import Share, Untie
from tests.compress.distill.stub import ROWS, encode, stub_context
from tests.compress.share.given import LARGE, ROBERTA, logits, model_on_meta, shared_copies, trained
from tests.tiny import FAMILIES, tiny_bundle

NAMES = [name for name in FAMILIES if "blocks" not in family_of(name).refusals]
PARTS = ("all", "attention", "ffn")
PAIRS = ((0, 1), (2, 3))


def shared(name="bert", **settings):
    return Share(**{"groups": 2, "recover": None, **settings}).run(trained(name), Context())


def test_sharing_costs_the_same_to_run():
    from recipes.flops import forward_flops

    plain = trained()
    whole = forward_flops(plain.model, length=16)
    assert whole and forward_flops(shared(groups=1).model, length=16) == whole


def test_every_family_but_albert_has_blocks_to_share():
    assert set(FAMILIES) - set(NAMES) == {"albert"}
    with pytest.raises(Refusal, match="one block runs for all layers already"):
        share_blocks(tiny_bundle("albert").model, family_of("albert"), what="all", groups=((0,),), sources=((0,),))
    assert "one block runs" in Share(recover=None).refuses(tiny_bundle("albert").sketch())


@pytest.mark.parametrize("what", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_it_answers_as_copies_do_and_comes_back_from_disk_and_from_sharing(name, what, tmp_path):
    plain = trained(name)
    before = plain.sketch().parameters
    bundle = shared(name, what=what)
    expected = logits(bundle)
    torch.testing.assert_close(expected, logits(shared_copies(plain, PAIRS, what)), atol=1e-6, rtol=0)
    assert (expected - logits(plain)).abs().max() > 1e-3
    groups = [part["groups"] for part in shared_parts(bundle.model, bundle.family)]
    # ModernBERT's first block lacks a norm, so the second has it for itself.
    assert groups[0] == [[0, 1], [2, 3]] and groups[1:] in ([], [[[2, 3]]])
    assert bundle.sketch().parameters == sum(p.numel() for p in bundle.model.parameters()) < before
    assert not is_stock(bundle.model, bundle.family)

    loaded = load(save(bundle, tmp_path))
    assert torch.equal(logits(loaded), expected)
    assert loaded.sketch() == bundle.sketch() and "shared" in loaded.states
    assert shared_parts(loaded.model, loaded.family) == shared_parts(bundle.model, bundle.family)
    assert loaded.changes == bundle.changes and isinstance(loaded.changes[-1], ShareBlocks)
    # Once on disk: the weights, and a header.
    size = (tmp_path / "model.safetensors").stat().st_size
    assert 0 < size - bundle.sketch().bytes < 20_000

    apart = Untie().run(loaded, Context())
    assert torch.equal(logits(apart), expected) and apart.sketch().parameters == before
    assert not is_shared(apart.model, apart.family) and "shared" not in apart.states
    assert is_stock(apart.model, apart.family)


@pytest.mark.parametrize("name", NAMES)
def test_the_guess_has_the_size_of_the_result_without_weights(name):
    stage = Share(groups=3, recover=None)
    bundle = trained(name)
    with torch.device("meta"):
        meta = Bundle(type(bundle.model)(tiny_bundle(name).config), bundle.processor, states=bundle.states)
    assert stage.refuses(meta.sketch()) is None
    guessed = stage.apply(meta, stage.guess(meta.sketch()))
    assert guessed.device.type == "meta"
    assert guessed.sketch() == stage.run(bundle, Context()).sketch()


# A block of BERT-base has 7,087,872 parameters, 2,363,904 of them in its attention and the norm behind it.
COUNTS = [
    ("Bert", {}, 109_482_240, 7_087_872, 2_363_904),
    ("Bert", LARGE, 335_141_888, 12_596_224, 4_200_448),
    ("Roberta", ROBERTA, 124_645_632, 7_087_872, 2_363_904),
]


@pytest.mark.parametrize("case", COUNTS, ids=["bert-base", "bert-large", "roberta-base"])
def test_exact_counts(case):
    name, config, whole, block, attention = case
    for what, part in (("all", block), ("attention", attention), ("ffn", block - attention)):
        for groups in (1, 3):
            bundle = model_on_meta(name, **config)
            layers = bundle.sketch().layers
            assert bundle.sketch().parameters == whole
            stage = Share(what=what, groups=groups, recover=None)
            after = stage.apply(bundle, stage.guess(bundle.sketch())).sketch()
            assert after.parameters == whole - (layers - groups) * part
            assert after.bytes == 4 * after.parameters and after.layers == layers


def test_published_counts_of_albert_at_the_embedding_width_of_bert():
    """31, 83 and 57 million: Lan et al. 2020, table 4, E = 768."""
    found = {}
    for what in PARTS:
        bundle = model_on_meta("Bert")
        stage = Share(what=what, recover=None)
        found[what] = stage.apply(bundle, stage.guess(bundle.sketch())).sketch().parameters
    assert found == {"all": 31_515_648, "attention": 83_479_296, "ffn": 57_518_592}


def test_groups_are_those_of_transformers():
    for layers in range(1, 65):
        for groups in range(1, layers + 1):
            found = even_groups(layers, groups)
            assert [n for group in found for n in group] == list(range(layers)) and all(found)
            assert all(int(n / (layers / groups)) == number for number, group in enumerate(found) for n in group)


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
    expected = logits(bundle)
    assert torch.equal(logits(load(save(bundle, tmp_path / "saved"))), expected)


def test_recovery_repairs_some_of_the_damage(tmp_path):
    quiet = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    ctx = stub_context(tmp_path, steps=25)
    Share(groups=2).run(trained(**quiet), ctx)
    assert ctx.fit.losses[-1] < 0.5 * ctx.fit.losses[0]


def test_where_a_groups_tensors_come_from():
    bundle, ctx = trained(), stub_context()
    blocks = bundle.family.module_list(bundle.model)
    assert First().sources(bundle, PAIRS, "all", ctx) == ((0,), (2,))
    assert Mean().sources(bundle, PAIRS, "all", ctx) == PAIRS
    first = blocks[0].output.dense.weight.detach().clone()
    mean = (first.double() + blocks[1].output.dense.weight.double()) / 2
    assert torch.equal(shared(by=First()).family.module_list(shared(by=First()).model)[1].output.dense.weight, first)
    found = shared(by=Mean())
    assert torch.equal(found.family.module_list(found.model)[1].output.dense.weight, mean.float())


def test_pick_takes_the_block_that_moves_the_last_layer_least():
    bundle, ctx = trained(), stub_context()
    blocks = bundle.family.module_list(bundle.model)
    # Two of three blocks are one, so each of them stands for the group better than the third does.
    blocks[2].load_state_dict(blocks[1].state_dict())
    before = logits(bundle)
    found = Pick(batches=1, batch_size=16).sources(bundle, ((0, 1, 2), (3,)), "all", ctx)
    assert found in (((1,), (3,)), ((2,), (3,)))
    errors = ctx.facts["error_as_shared"]
    assert errors[0][1] == errors[0][2] < errors[0][0] and errors[1] == [0.0]
    assert torch.equal(logits(bundle), before) and not is_shared(bundle.model, bundle.family)


def test_the_error_leaves_padding_out():
    expected, tokens = torch.ones(1, 3, 2), torch.tensor([[True, True, False]])
    found = expected + torch.tensor([[[1.0, 0.0], [0.0, 0.0], [float("nan"), 0.0]]])
    assert relative_error(found, expected, tokens) == 0.25


def test_pick_works_on_every_family_and_needs_rows():
    for name in ("t5", "gpt2", "modernbert", "deberta-v2", "vit"):
        bundle = trained(name)
        found = Pick(batches=1, batch_size=4).sources(bundle, PAIRS, "ffn", _any_context())
        assert [len(source) for source in found] == [1, 1]
    with pytest.raises(InputError, match="pick needs rows"):
        Pick().sources(trained(), PAIRS, "all", Context(batches=lambda *_, **__: iter(())))


def _any_context():
    from tests.tiny import tiny_inputs

    return Context(batches=lambda bundle, **_: iter([tiny_inputs(bundle)]))


def test_the_mean_of_equal_tensors_is_that_tensor():
    tensor = torch.randn(7, 5, generator=torch.manual_seed(0))
    assert torch.equal(mean_of([tensor] * 3), tensor)


def test_what_only_some_blocks_have_stays_theirs():
    t5 = shared("t5", groups=1)
    owners = [name for name, _ in t5.model.base_model.encoder.named_parameters() if "relative_attention_bias" in name]
    assert owners == ["block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    modern = shared("modernbert", groups=1, by=First())
    blocks = modern.family.module_list(modern.model)
    assert isinstance(blocks[0].attn_norm, torch.nn.Identity)
    assert len({id(block.attn_norm.weight) for block in blocks[1:]}) == 1


def test_blocks_of_different_shapes_are_refused():
    bundle = trained()
    keep_neurons(bundle.model, bundle.family, tuple(tuple(range(n)) for n in (8, 8, 8, 9)))
    sketch = bundle.sketch()
    assert "8, 9 neurons" in Share(groups=2).refuses(sketch)
    assert Share(groups=3).refuses(sketch) is None
    assert Share(groups=2, what="attention").refuses(sketch) is None
    keep_heads(bundle.model, bundle.family, ((0, 1), (0,), (0, 1), (0, 1)))
    assert "2, 1 heads" in Share(groups=2, what="attention").refuses(bundle.sketch())
    with pytest.raises(Refusal, match=r"different shapes cannot share.*intermediate.dense.weight.* in block 2"):
        share_blocks(bundle.model, bundle.family, what="ffn", groups=((2, 3),), sources=((2,),))


def test_uniformly_cut_blocks_can_be_shared(tmp_path):
    bundle = trained()
    keep_heads(bundle.model, bundle.family, tuple((n % 2, 2) for n in range(4)))
    keep_neurons(bundle.model, bundle.family, ((0, 3, 5),) * 4)
    bundle = Share(groups=1, recover=None).run(bundle, Context())
    expected = logits(bundle)
    loaded = load(save(bundle, tmp_path))
    assert torch.equal(logits(loaded), expected) and loaded.sketch() == bundle.sketch()
    record = json.loads((tmp_path / "config.json").read_text())["trimformer"]
    assert record["shapes"] and record["shared"]


@pytest.mark.parametrize(
    ("groups", "sources"),
    [(((0, 4),), ((0,),)), (((0, 1), (1, 2)), ((0,), (1,))), (((0, 1),), ((2,),)), (((0, 1),), ()), (((0, 1),), ((),))],
)
def test_impossible_groups_are_named(groups, sources):
    bundle = trained()
    with pytest.raises(InputError, match="groups of blocks are numbers from 0 to 3"):
        share_blocks(bundle.model, bundle.family, what="all", groups=groups, sources=sources)


@pytest.mark.parametrize(
    ("settings", "states", "message"),
    [
        ({"groups": 4}, ["head_trained"], "4 groups of 4 layers share nothing"),
        ({}, [], "recover needs a head"),
        ({}, ["head_trained", "shared"], "`untie`"),
        ({}, ["head_trained", "masked"], "permanent"),
        ({}, ["head_trained", "quantized"], "quantized"),
    ],
)
def test_refusals_say_why(settings, states, message):
    bundle = trained()
    bundle.states = frozenset(states)
    assert message in Share(**settings).refuses(bundle.sketch())


def test_what_needs_blocks_of_its_own_refuses_and_says_untie():
    from finetune.methods.bitfit import Bitfit
    from finetune.methods.ia3 import Ia3
    from finetune.methods.lora import Lora
    from finetune.stage import Finetune

    sketch = shared().sketch()
    stages = [
        Prune(pattern="heads", sparsity=0.5),
        Finetune(method=Lora()),
        Finetune(method=Ia3()),
        Finetune(method=Bitfit(), base="int8"),
    ]
    for stage in stages:
        assert "untie" in stage.refuses(sketch)
    assert Finetune(method=Bitfit()).refuses(sketch) is None
    assert "leave the stage out" in Untie().refuses(trained().sketch())
    assert Untie().refuses(sketch) is None and not Untie().needs_data


def test_settings_and_changes_as_plain_data():
    assert sorted(Origin.members()) == ["first", "mean", "pick"]
    assert Share(recover=None).recipe_form() == {"share": {"recover": None}}
    assert Share(by="pick", recover="none").needs_data and not Share(recover="none").needs_data
    assert Share().draws_random_numbers and not Share(recover="none", by="first").draws_random_numbers
    assert any("not faster" in remark for remark in Share().remarks(trained().sketch()))
    change = Share(groups=2, recover=None).guess(trained().sketch())
    assert change_from_data(change.data()) == change
    assert change.summary() == {"shared": "all", "groups": [[0, 1], [2, 3]], "made_of": [[0], [2]]}
    with pytest.raises(ValidationError):
        Share(what="embeddings")
    with pytest.raises(ValidationError):
        Share(groups=0)


def test_a_sketch_counts_what_is_shared_once():
    bundle = shared(groups=1)
    unique = {id(p): p.numel() for p in bundle.model.parameters()}
    assert Sketch.of(bundle.model, bundle.family).parameters == sum(unique.values())
