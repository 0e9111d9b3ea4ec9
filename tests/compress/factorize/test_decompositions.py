"""Which error each decomposition makes small."""

import pytest
import torch

from compress.core.errors import StageFailed
from compress.core.families.family import base_model
from compress.factorize.decompositions.activations import second_moments
from compress.factorize.decompositions.low_rank import output_error
from tests.compress.distill.stub import encode, stub_context, trained
from tests.compress.factorize.given import factorize, product_at, product_or_weight, weight_of
from tests.tiny import tiny_rows


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "bart", "modernbert", "albert", "deberta"])
def test_the_outputs_error_is_never_above_that_of_plain_svd(name):
    plain, seen = trained(name), trained(name)
    places, batch = plain.sketch().linears, encode(plain, tiny_rows(40, seed=3))
    modules = {p.path: (base_model(plain.model).get_submodule(p.path),) for p in places}
    whole = {p.path: second_moments(plain, modules, batch)[p.path] for p in places[:1] + places[-1:]}
    weights = {path: product_or_weight(modules[path][0]) for path in whole}
    plain = factorize().run(plain, stub_context())
    seen = factorize(by={"activations": {"batches": 2, "batch_size": 20}}).run(seen, stub_context())
    for path, (moment, count) in whole.items():
        errors = [output_error(weights[path] - product_at(b, path), moment / count) for b in (seen, plain)]
        assert errors[0] <= errors[1] * (1 + 1e-4)
        assert errors[0] < errors[1] * 0.99


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "albert", "distilbert"])
def test_fisher_weighs_rows_by_the_task(name):
    bundle = trained(name)
    path = bundle.sketch().linears[0].path
    first = product_or_weight(base_model(bundle.model).get_submodule(path))
    plain = factorize().run(bundle.copy(), stub_context())
    fisher = factorize(by={"fisher": {"batches": 2, "batch_size": 20}}).run(bundle, stub_context())
    differences = [(first - product_at(found, path)).norm() for found in (plain, fisher)]
    assert differences[0] < differences[1] < 2 * differences[0]
    assert all(parameter.grad is None for parameter in fisher.model.parameters())


def test_frequent_tokens_are_nearer():
    bundle = trained()
    table, batch = weight_of(bundle, "embeddings.word_embeddings"), encode(bundle, tiny_rows(40, seed=3))
    read = batch["input_ids"][batch["attention_mask"].bool()]

    def error(found):
        words = base_model(found.model).get_submodule("embeddings.word_embeddings")
        return (words(read) - table[read]).square().sum()

    plain = factorize("embeddings").run(bundle.copy(), stub_context())
    weighted = factorize("embeddings", by="frequency").run(bundle, stub_context())
    assert error(weighted) < 0.9 * error(plain)


@pytest.mark.parametrize("by", ["svd", "activations", "fisher"])
def test_a_model_that_is_not_finite_is_named(by):
    bundle = trained()
    path = "encoder.layer.1.output.dense"
    base_model(bundle.model).get_submodule(path).weight.data[0, 0] = torch.inf
    with pytest.raises(StageFailed, match=r"not finite") as caught:
        factorize(by=by).run(bundle, stub_context())
    assert "encoder.layer" in str(caught.value) and caught.value.advice
