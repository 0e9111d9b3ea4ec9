"""Single weights in the stage: counts, patterns, what is refused, and what later stages do with the masks."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.utils import prune as theirs

from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError
from compress.core.model.masks import masked_parameters
from compress.core.model.matrices import block_matrices, first_stack
from compress.core.model.matrix import matrix
from compress.core.stage.context import Context
from compress.core.surgery.changes import KeepLayers
from compress.distill.recover import Recover
from compress.distill.stage import Distill
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.criteria.random import Random
from compress.prune.criteria.wanda import Wanda
from compress.prune.make_permanent import MakePermanent
from compress.prune.selection import kept_count
from compress.prune.stage import Prune
from compress.prune.units.heads import Heads
from compress.prune.units.neurons import Neurons
from compress.prune.units.width import Width
from compress.prune.weights.blocks import Blocks, block_means, spread_out
from compress.prune.weights.elements import Elements
from compress.prune.weights.n_m import NM, best_n_of_m
from compress.quantize.store_linears import StoreLinears, to_dense
from tests.compress.distill.stub import stub_context, trained
from tests.contracts.cuts import SOME_WIDTH, some_heads, some_layers, some_neurons
from tests.tiny import few, tiny_logits
from tests.tiny.stages import declared, predicted, refused

SIZES = {"bert": {"intermediate_size": 128}, "gpt2": {"n_inner": 128}}


def prune(pattern=None, **settings):
    given = {"pattern": pattern or Elements(), "sparsity": 0.5, "criterion": Magnitude(), "recover": None, **settings}
    return Prune(**given)


def cut_share(bundle):
    return 1 - sum(int(m.sum()) for m in bundle.masks.values()) / sum(m.numel() for m in bundle.masks.values())


def zeros_hold(bundle):
    found = dict(masked_parameters(bundle.model, bundle.masks))
    return bool(found) and all(not torch.count_nonzero(p[~bundle.masks[name]]) for name, p in found.items())


@pytest.mark.parametrize("name", few())
def test_every_family_prunes_guesses_saves_and_loads(name, tmp_path):
    bundle, stage = trained(name), prune(allocation="global", sparsity=0.6)
    before, sketch = tiny_logits(bundle), bundle.sketch()
    matrices = block_matrices(bundle)
    assert {part.role for part in matrices.values()} >= {"query", "output", "up", "down"}
    assert refused(stage, sketch) is None
    guessed = predicted(stage, bundle.copy())
    pruned = stage.run(bundle, Context())
    total = sum(part.weight.numel() for part in matrices.values())
    assert sum(int(mask.sum()) for mask in pruned.masks.values()) == kept_count(total, 0.6)
    assert pruned.masks.keys() == guessed.masks.keys() == matrices.keys() and zeros_hold(pruned)
    assert "masked" in pruned.states and not torch.equal(tiny_logits(pruned), before)
    loaded = load(save(pruned, tmp_path))
    assert torch.equal(tiny_logits(loaded), tiny_logits(pruned)) and loaded.sketch() == pruned.sketch()
    assert all(torch.equal(mask, loaded.masks[path]) for path, mask in pruned.masks.items())
    assert guessed.sketch().bytes == pytest.approx(pruned.sketch().bytes, abs=4 * len(matrices))


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_decoder_and_its_attention_to_the_encoder_lose_weights_too(name):
    bundle = trained(name)
    pruned = prune(criterion=Wanda(rows=8), sparsity=0.75).run(bundle, stub_context())
    matrices = block_matrices(pruned)
    blocks = {part.place for part in matrices.values()}
    assert len(blocks) == 8 and {stack for stack, _ in blocks} == {"encoder", "decoder", "cross-attention"}
    assert all(int(mask.sum()) == kept_count(mask.numel(), 0.75) for mask in pruned.masks.values())
    assert pruned.masks.keys() == matrices.keys() and zeros_hold(pruned)
    assert {part.stack for part in first_stack(pruned).values()} == {"encoder"}
    assert declared(prune(), pruned.sketch()).remarks == ()


@pytest.mark.parametrize("pattern", [Elements(), NM(), NM(n=1, m=8), Blocks(rows=4, columns=8)])
@pytest.mark.parametrize("name", ["bert", "gpt2", "modernbert", "t5"])
def test_every_pattern_cuts_its_share(name, pattern):
    sparsity = pattern.own_sparsity() if isinstance(pattern, NM) else 0.5
    pruned = prune(pattern, sparsity=sparsity).run(trained(name), Context())
    assert zeros_hold(pruned)
    for path, part in block_matrices(pruned).items():
        mask = matrix(part.linear, pruned.masks[path])
        if isinstance(pattern, NM):
            assert (mask.unflatten(1, (-1, pattern.m)).sum(2) == pattern.n).all()
        elif isinstance(pattern, Blocks):
            small = block_means(mask.float(), 4, 8)
            assert set(small.unique().tolist()) <= {0.0, 1.0} and int(small.sum()) == kept_count(small.numel(), 0.5)
        else:
            assert int(mask.sum()) == kept_count(mask.numel(), 0.5)


def test_n_of_m_keeps_the_largest():
    scores = torch.tensor([[1.0, 4.0, 3.0, 2.0, 5.0, 5.0, 5.0, 5.0]])
    assert best_n_of_m(scores, 2, 4).tolist() == [[False, True, True, False, True, True, False, False]]
    with pytest.raises(InputError, match="rows of 8 weights do not divide into groups of 3"):
        best_n_of_m(scores, 2, 3)


@pytest.mark.parametrize("dim", [0, 1])
def test_whole_rows_and_columns_are_pytorchs_ln_structured(dim):
    torch.manual_seed(0)
    linear = nn.Linear(12, 10)
    weight = linear.weight.detach().clone()
    pattern = Blocks(rows=1, columns=12) if dim == 0 else Blocks(rows=10, columns=1)
    ours = pattern.masks({"w": weight.abs()}, 0.3)["w"]
    theirs.ln_structured(linear, "weight", amount=0.3, n=1, dim=dim)
    assert torch.equal(ours, linear.weight_mask.bool())


def test_blocks_go_out_and_come_back():
    mask = torch.tensor([[True, False], [False, True]])
    wide = spread_out(mask, 2, 3)
    assert wide.shape == (4, 6) and torch.equal(block_means(wide.float(), 2, 3) > 0, mask)
    with pytest.raises(InputError, match="does not divide into blocks of 3 by 3"):
        block_means(wide.float(), 3, 3)


@pytest.mark.parametrize("allocation", ["uniform", "per_type", "global"])
def test_a_second_pruning_goes_on_from_the_first(allocation):
    once = prune(sparsity=0.4, allocation=allocation).run(trained(), Context())
    first = {name: mask.clone() for name, mask in once.masks.items()}
    twice = prune(sparsity=0.7, allocation=allocation, criterion=Random()).run(once, Context())
    assert cut_share(twice) == pytest.approx(0.7, abs=1e-3) and zeros_hold(twice)
    assert all(not (mask & ~first[name]).any() for name, mask in twice.masks.items())
    with pytest.raises(InputError, match="cut already"):
        prune(sparsity=0.2, allocation=allocation).run(twice, Context())


def test_types_compete_among_themselves():
    pruned = prune(sparsity=0.5, allocation="per_type").run(trained(), Context())
    kept, of = {}, {}
    for name, part in block_matrices(pruned).items():
        kept[part.role] = kept.get(part.role, 0) + int(pruned.masks[name].sum())
        of[part.role] = of.get(part.role, 0) + part.weight.numel()
    assert all(kept[role] == kept_count(of[role], 0.5) for role in of)
    assert len({int(m.sum()) for n, m in pruned.masks.items() if n.endswith("query.weight")}) > 1


def test_the_same_bits_from_the_same_seed():
    one, other = (prune(criterion=Random()).run(trained(), Context(seed=3)) for _ in range(2))
    assert all(torch.equal(mask, other.masks[name]) for name, mask in one.masks.items())
    assert not torch.equal(tiny_logits(prune(criterion=Random()).run(trained(), Context(seed=4))), tiny_logits(one))


def test_a_masked_model_recovers_by_distillation(tmp_path):
    ctx = stub_context(tmp_path)
    pruned = prune(recover=Recover()).run(trained(), ctx)
    assert (
        ctx.facts["recovery"]["teacher"] == "the model before the cut" and ctx.fit.losses and "masked" in pruned.states
    )
    with pytest.raises(InputError, match="task"):
        prune(recover=Recover()).run(trained(), Context())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity": 1}, "less than 1"),
        ({"pattern": {"n_m": {"n": 4, "m": 4}}}, "n is less than m"),
        ({"pattern": {"n_m": {"n": 2, "m": 4}}, "sparsity": 0.7}, "itself cuts 0.5"),
        ({"criterion": "wanda", "pattern": "heads"}, "wanda scores single weights, not heads"),
        ({"criterion": "wanda", "allocation": "global"}, "the allocation is 'uniform', not 'global'"),
        ({"criterion": "sparsegpt", "pattern": {"blocks": {"rows": 2, "columns": 2}}}, "not blocks"),
        ({"criterion": "sparsegpt", "allocation": "per_type"}, "the allocation is 'uniform'"),
        ({"floor": 0.6, "allocation": "global"}, "a floor of 0.6 leaves more"),
        ({"floor": 0.1}, "with the allocation 'uniform' none do"),
        ({"floor": 0.1, "pattern": "heads", "allocation": "global"}, "with heads leave it out"),
        ({"floor": 0.1, "pattern": "n_m"}, "n_m itself says what stays in each matrix; leave 'floor' out"),
        ({"allocation": "per_type", "pattern": "n_m"}, "leave 'allocation' out"),
    ],
)
def test_what_cannot_work_is_found_in_the_recipe(settings, message):
    with pytest.raises(ValidationError, match=message):
        Prune.model_validate({"pattern": "elements", "sparsity": 0.5, "criterion": "magnitude", **settings})


def test_the_pattern_may_say_the_sparsity():
    stage = Prune.model_validate({"pattern": {"n_m": {"n": 2, "m": 4}}, "criterion": "magnitude", "recover": "none"})
    assert stage.sparsity == 0.5 and Prune.model_validate(stage.dump()) == stage
    assert Prune.model_validate({"pattern": "n_m", "criterion": "magnitude"}).pattern == NM(n=2, m=4)
    with pytest.raises(ValidationError, match="sparsity"):
        Prune.model_validate({"pattern": "elements", "criterion": "magnitude"})


@pytest.mark.parametrize(
    ("pattern", "states", "message"),
    [
        (NM(n=2, m=5), [], "the rows of 32 weights do not divide into groups of 5"),
        (Blocks(rows=5, columns=4), [], "32 outputs do not divide into blocks of 5"),
        (Blocks(rows=4, columns=5), [], "32 inputs do not divide into blocks of 5"),
        (Elements(), ["quantized"], "quantized"),
        (Elements(), ["shared"], "its blocks share their tensors"),
    ],
)
def test_refusals_say_why(pattern, states, message):
    bundle = trained()
    bundle.states = frozenset(states)
    sparsity = pattern.own_sparsity() or 0.5
    assert message in refused(prune(pattern, sparsity=sparsity), bundle.sketch())


def test_only_what_needs_a_trained_head_asks_for_one():
    bundle = trained()
    bundle.states = frozenset()
    for criterion, needed in (("taylor", True), ("fisher", True), ("wanda", False), ("sparsegpt", False)):
        stage = Prune.model_validate(
            {"pattern": "elements", "sparsity": 0.5, "criterion": criterion, "recover": "none"}
        )
        assert (refused(stage, bundle.sketch()) is not None) == needed and stage.requires().data


@pytest.mark.parametrize("name", few(["bert", "gpt2", "deberta", "modernbert", "t5", "bart", "mpnet", "vit"]))
def test_a_later_cut_cuts_the_masks_too(name, tmp_path):
    bundle = prune(sparsity=0.7).run(trained(name), Context())
    meta = bundle.copy()
    meta.model.to("meta")
    cuts = ((Heads(), some_heads), (Neurons(), some_neurons), (Width(), lambda _: (SOME_WIDTH,)))
    for pattern, some in cuts:
        if pattern.part in bundle.family.refusals:
            continue
        change = pattern.change(some(bundle), pattern.counts(bundle.sketch()))
        bundle, meta = bundle.changed_by(change), meta.changed_by(change)
        assert bundle.masks.keys() == block_matrices(bundle).keys() and zeros_hold(bundle)
        for path, parameter in masked_parameters(bundle.model, bundle.masks):
            assert torch.equal(bundle.masks[path], parameter != 0) and torch.equal(meta.masks[path], bundle.masks[path])
    loaded = load(save(bundle, tmp_path))
    assert torch.equal(tiny_logits(loaded), tiny_logits(bundle)) and loaded.sketch() == bundle.sketch()


def test_a_cut_of_a_masked_model_says_that_its_bytes_are_a_guess():
    bundle, uniform, whole = trained(), prune(Neurons()), prune(Neurons(), allocation="global")
    assert declared(uniform, bundle.sketch()).uncertain is None
    assert "bytes" not in declared(whole, bundle.sketch()).uncertain
    masked = prune(sparsity=0.7).run(bundle, Context()).sketch()
    assert all("but of the bytes" in declared(stage, masked).uncertain for stage in (uniform, whole))


def test_fewer_layers_keep_their_masks():
    bundle = prune(sparsity=0.7).run(trained(), Context())
    kept = some_layers(bundle.family)
    weights = {number: bundle.model.bert.encoder.layer[old].output.dense.weight for number, old in enumerate(kept)}
    student = bundle.changed_by(KeepLayers(kept=kept, of=4))
    assert student.masks.keys() == block_matrices(student).keys()
    for number, weight in weights.items():
        assert torch.equal(student.masks[f"bert.encoder.layer.{number}.output.dense.weight"], weight != 0)
    assert refused(Distill(), bundle.sketch()) is None


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("storage", ["bf16", "int8", "nf4", "fp4"])
def test_zeros_stay_zeros_in_fewer_bits(storage, name, tmp_path):
    pytest.importorskip("bitsandbytes")
    bundle = prune(sparsity=0.7).run(trained(name, hidden_size=64, **SIZES[name]), Context())
    stored = bundle.changed_by(StoreLinears(storage=storage))
    opened = load(save(stored, tmp_path))
    assert opened.masks.keys() == bundle.masks.keys()
    assert zeros_hold(to_dense(opened)) and zeros_hold(to_dense(stored))


def test_permanent_zeros_are_weights_like_any_other(tmp_path):
    bundle = prune(sparsity=0.7).run(trained(), Context())
    answers, stage = tiny_logits(bundle), MakePermanent()
    assert refused(stage, bundle.sketch()) is None and not stage.requires().data
    small = bundle.sketch().bytes
    plain = stage.run(bundle, Context())
    assert plain.states == {"head_trained"} and not plain.masks and torch.equal(tiny_logits(plain), answers)
    assert plain.sketch().bytes > small and "no masks" in refused(stage, plain.sketch())
    save(plain, tmp_path)
    assert not (tmp_path / "changed.py").exists() and load(tmp_path).masks == {}
