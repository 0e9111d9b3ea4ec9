"""Which models and settings do not fit, and what factors cannot do."""

import pytest
from pydantic import ValidationError

from compress.core.errors import Refusal
from compress.core.stage.context import Context
from compress.core.surgery.heads_and_neurons import head_counts
from compress.factorize.dense import MergeFactors
from compress.prune.stage import Prune
from compress.quantize.store_linears import StoreLinears
from tests.compress.distill.stub import stub_context, trained
from tests.compress.factorize.given import factorize
from tests.tiny.stages import refused


def test_stages_that_need_plain_linears_say_what_to_do():
    from finetune.methods.houlsby import Houlsby
    from finetune.methods.lora import Lora

    bundle = factorize().run(trained(), stub_context())
    sketch = bundle.sketch()
    pruning = Prune.model_validate({"pattern": "heads", "sparsity": 0.5, "recover": "none"})
    assert "put `merge_factors` before this stage" in refused(pruning, sketch)
    assert "merge_factors" in Lora().refuses(sketch) and Lora().refuses(trained().sketch()) is None
    assert Houlsby(width=8).refuses(sketch) is None
    assert "factorized" in StoreLinears(storage="nf4").forbids(sketch)
    with pytest.raises(Refusal, match="merge_factors"):
        head_counts(bundle.model, bundle.family)
    assert refused(MergeFactors(), sketch) is None
    assert "nothing" in refused(MergeFactors(), trained().sketch())
    assert refused(pruning, MergeFactors().run(bundle, Context()).sketch()) is None


@pytest.mark.parametrize(
    ("name", "states", "settings", "message"),
    [
        ("bert", ["quantized"], {}, "quantized"),
        ("bert", ["masked"], {}, "masks"),
        ("bert", [], {"recover": {"epochs": 1}}, "its head is not trained"),
        ("bert", [], {"by": "fisher"}, "take `by: svd`"),
        ("bert", [], {"rank": 40}, "rank of 40 is above the full rank of encoder.layer.0.attention.self.query"),
        ("bert", [], {"rank": 32}, "no smaller than the matrices themselves; choose at most 19"),
        ("bert", [], {"roles": "gate"}, "has no linears in the role 'gate'; it has query, key"),
        ("gpt2", [], {"roles": ["query", "up"]}, "has query, key, value in one linear; name all of them"),
        ("bert", [], {"what": "embeddings", "rank": 33}, "above the full rank of embeddings.word_embeddings"),
        ("vit", [], {"what": "embeddings", "rank": 4}, "no embedding matrix"),
        ("bert", [], {"rank": {"budget": 100}}, "100 parameters are too few"),
    ],
)
def test_refusals_say_why(name, states, settings, message):
    bundle = trained(name)
    bundle.states = frozenset(states)
    assert message in refused(factorize(**{"what": "linears", **settings}), bundle.sketch())


def test_a_second_time_says_so():
    bundle = factorize().run(trained(), stub_context())
    assert "factorized already; put `merge_factors`" in refused(factorize(), bundle.sketch())
    assert refused(factorize("embeddings"), bundle.sketch()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "embeddings", "by": "fisher"},
        {"what": "linears", "by": "frequency"},
        {"what": "embeddings", "roles": ["query"]},
        {"roles": []},
        {"roles": ["words"]},
        {"rank": "ratio"},
        {"what": "norms"},
    ],
)
def test_settings_that_do_not_fit(wrong):
    with pytest.raises(ValidationError):
        factorize(**{"what": "linears", **wrong})
