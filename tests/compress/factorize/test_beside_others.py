"""Factors of a model that is shared, narrower, pruned, stored in fewer bits, or has a decoder."""

import pytest
import torch

from compress.core.checkpoint.save import load, save
from compress.core.families.family import base_model
from compress.core.stage.context import Context
from compress.core.surgery.width import keep_width
from compress.factorize.decompositions.activations import second_moments
from compress.factorize.decompositions.fisher import row_information
from compress.factorize.decompositions.low_rank import Weighting, decompose, output_error
from compress.factorize.dense import to_dense
from compress.prune.stage import Prune
from compress.quantize.store_linears import StoreLinears
from compress.share.stage import Share
from tests.compress.distill.stub import encode, stub_context, trained
from tests.compress.factorize.given import factorize, product_at, product_or_weight
from tests.tiny import TinyTask, tiny_logits, tiny_rows
from tests.tiny.stages import declared, refused


def shared(name="bert"):
    return Share.model_validate({"groups": 1, "recover": "none"}).run(trained(name), Context())


def test_the_outputs_error_is_that_of_all_blocks_that_share():
    bundle = shared()
    batch, base = encode(bundle, tiny_rows(40, seed=3)), base_model(bundle.model)
    path = "encoder.layer.0.output.dense"
    users = {path: tuple(base.get_submodule(path.replace("0", str(number), 1)) for number in range(4))}
    moments = [second_moments(bundle, {path: linears}, batch)[path] for linears in ((user,) for user in users[path])]
    whole = second_moments(bundle, users, batch)[path]
    torch.testing.assert_close(whole[0], sum(moment for moment, _ in moments))
    assert whole[1] == sum(count for _, count in moments)
    weight = product_or_weight(base.get_submodule(path))
    seen = factorize(by={"activations": {"batches": 2, "batch_size": 20}}).run(bundle.copy(), stub_context())
    rank = seen.sketch().linears[-1].rank
    tried = [moment / count for moment, count in (whole, *moments)]
    found = [decompose(weight, Weighting(inputs=moment)).of_rank(rank) for moment in tried]
    errors = [float(output_error(weight - left @ right, tried[0])) for left, right in found]
    ours = float(output_error(weight - product_at(seen, path), tried[0]))
    assert ours == pytest.approx(errors[0], rel=1e-3) and errors[0] < min(errors[1:]) * 0.999


def test_fisher_feels_all_blocks_that_share():
    bundle = shared()
    batch, base = encode(bundle, tiny_rows(10, seed=3)), base_model(bundle.model)
    path = "encoder.layer.0.output.dense"
    users = {path: tuple(base.get_submodule(path.replace("0", str(number), 1)) for number in range(4))}
    (found,) = row_information(bundle, users, batch, TinyTask().objective)
    expected = torch.zeros(32)
    for row in range(10):
        loss = TinyTask().objective(bundle.model, {name: value[row : row + 1] for name, value in batch.items()})
        expected += torch.autograd.grad(loss, users[path][0].weight)[0].square().sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "electra", "bart", "gpt2"])
def test_a_table_of_a_narrower_model_is_multiplied_out(name, tmp_path):
    bundle = trained(name)
    keep_width(bundle.model, bundle.family, tuple(range(20)))
    bundle = load(save(bundle, tmp_path / "narrow"))
    before = bundle.sketch()
    low = factorize("embeddings").run(bundle, Context())
    expected = tiny_logits(low)
    dense = to_dense(load(save(low, tmp_path / "low")))
    torch.testing.assert_close(tiny_logits(dense), expected, atol=1e-5, rtol=0)
    assert dense.sketch() == before
    assert torch.equal(tiny_logits(load(save(dense, tmp_path / "dense"))), tiny_logits(dense))


PRUNING = {"sparsity": 0.5, "criterion": "magnitude", "recover": "none"}


@pytest.mark.parametrize("pattern", ["heads", "neurons", "elements"])
def test_the_blocks_are_pruned_beside_a_factorized_table(pattern, tmp_path):
    bundle = load(save(factorize("embeddings").run(trained(), Context()), tmp_path / "low"))
    pruning = Prune.model_validate({"pattern": pattern, **PRUNING})
    assert refused(pruning, bundle.sketch()) is None
    pruned = pruning.run(bundle, stub_context())
    assert torch.equal(tiny_logits(load(save(pruned, tmp_path / "pruned"))), tiny_logits(pruned))
    narrow = Prune.model_validate({"pattern": "width", **PRUNING})
    assert "put `merge_factors` before this stage" in refused(narrow, bundle.sketch())


@pytest.mark.parametrize("storage", ["int8", "nf4"])
def test_the_linears_are_stored_in_fewer_bits_beside_a_factorized_table(storage, tmp_path):
    bundle = load(save(factorize("embeddings").run(trained(), Context()), tmp_path / "low"))
    stored = StoreLinears(storage=storage).apply(bundle)
    assert torch.equal(tiny_logits(load(save(stored, tmp_path / "stored"))), tiny_logits(stored))


@pytest.mark.parametrize(
    ("name", "roles", "expected"),
    [
        ("t5", "all", "only linears of the encoder become factors; left as they are: decoder, cross-attention"),
        ("bart", ["up", "down"], "only linears of the encoder become factors; left as they are: decoder"),
    ],
)
def test_a_decoder_that_stays_as_it_is_is_told(name, roles, expected):
    assert declared(factorize(roles=roles), trained(name).sketch()).remarks == (expected,)
    assert declared(factorize("embeddings"), trained(name).sketch()).remarks == ()
    assert declared(factorize(), trained().sketch()).remarks == ()
    told = declared(Share.model_validate({"groups": 1}), trained(name).sketch()).remarks
    assert told[1] == "only blocks of the encoder share; left as they are: decoder, cross-attention"
    ffn = declared(Share.model_validate({"groups": 1, "what": "ffn"}), trained(name).sketch()).remarks
    assert ffn[1].endswith("left as they are: decoder")
    assert len(declared(Share(groups=1), trained("gpt2", add_cross_attention=True).sketch()).remarks) == 1
