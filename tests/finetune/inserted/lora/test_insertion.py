"""PEFT's layers in place: at first the model answers as before, then only they move; merged they are gone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from compress.core.errors import InputError, Refusal, UnknownName
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.change import change_from_data
from compress.core.model.wrapping import linear_shape
from finetune.inserted.insertion import Insertion
from finetune.inserted.lora.insertion import inserted_layers
from finetune.inserted.lora.targets import target_linears
from finetune.method import Method, only_trained
from finetune.methods.adalora import Adalora
from finetune.methods.dora import Dora
from finetune.methods.ia3 import Ia3
from finetune.methods.lora import Lora
from finetune.parameters.names import head_names
from finetune.training.fit import activations_recomputed
from tests.finetune.inserted.lora.cases import METHODS, cases
from tests.finetune.methods.steps import few_steps
from tests.finetune.methods.test_counts import ALBERT_BASE, on_meta
from tests.tiny import FAMILIES, tiny_bundle, tiny_inputs

BY_NAME = [pytest.param(method, id=method.name) for method in METHODS]
FUSED = ("gpt2", "modernbert", "deberta")
BERT_LAYERS, WIDTH, NEURONS = 12, 768, 3072


def put_in(method: Method, bundle: Bundle) -> tuple[Bundle, Insertion]:
    change = method.change(bundle.sketch())
    assert isinstance(change, Insertion)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return bundle.changed_by(change), change


@torch.no_grad()
def logits(bundle: Bundle) -> Tensor:
    return bundle.model.eval()(**tiny_inputs(bundle)).logits


@pytest.mark.parametrize(("name", "method"), cases(*FAMILIES))
def test_the_start_the_steps_and_the_merge(name: str, method: Method) -> None:
    bundle = tiny_bundle(name)
    kind, before, base = type(bundle.model), logits(bundle), copy.deepcopy(bundle.model.state_dict())
    bundle, change = put_in(method, bundle)
    assert type(bundle.model) is kind and not hasattr(bundle.model, "peft_config")
    if method.name == "dora":
        torch.testing.assert_close(logits(bundle), before, atol=1e-6, rtol=1e-6)
    else:
        assert torch.equal(logits(bundle), before)
    names = method.trainable(bundle)
    assert names == change.inserted(bundle) | head_names(bundle)
    start = copy.deepcopy(bundle.model.state_dict())
    few_steps(bundle, names)
    now = bundle.model.state_dict()
    assert {path for path in now if not torch.equal(now[path], start[path])} == names
    after = logits(bundle)
    assert not torch.allclose(after, before, atol=1e-3)
    change.merge(bundle)
    assert set(bundle.model.state_dict()) == set(base) and not inserted_layers(bundle.model)
    torch.testing.assert_close(logits(bundle), after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "method"), cases("bert", "albert", *FUSED))
def test_a_copy_is_a_model_of_its_own(name: str, method: Method) -> None:
    bundle, _ = put_in(method, tiny_bundle(name))
    before = logits(bundle)
    twin = bundle.copy()
    few_steps(twin, method.trainable(twin))
    assert torch.equal(logits(bundle), before) and not torch.allclose(logits(twin), before, atol=1e-3)


@pytest.mark.parametrize(("name", "method"), cases("bert", "t5", *FUSED))
def test_activations_can_be_recomputed(name: str, method: Method) -> None:
    gradients = []
    for recompute in (False, True):
        bundle, _ = put_in(method, tiny_bundle(name))
        for path, parameter in bundle.model.named_parameters():
            parameter.requires_grad_(path in method.trainable(bundle))
        bundle.model.train()
        plan = TrainPlan(gradient_checkpointing=recompute)
        with torch.random.fork_rng(devices=[]), activations_recomputed(bundle.model, plan):
            torch.manual_seed(1)
            bundle.model(**tiny_inputs(bundle)).logits.square().sum().backward()
        gradients.append([p.grad for p in bundle.model.parameters() if p.grad is not None])
    assert gradients[0]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("name", "method"), cases("bert", "gpt2", "t5"))
def test_autocast_reaches_every_tensor(name: str, method: Method) -> None:
    bundle, change = put_in(method, tiny_bundle(name))
    few_steps(bundle, change.inserted(bundle))  # past the zeros of the start, which hide gradients
    with only_trained(bundle.model, change.inserted(bundle)):
        with torch.autocast("cpu", torch.bfloat16):
            loss = bundle.model(**tiny_inputs(bundle)).logits.float().square().sum()
        loss.backward()
    for path in change.inserted(bundle):
        gradient = bundle.model.get_parameter(path).grad
        assert gradient is not None and gradient.dtype == torch.float32
        assert gradient.isfinite().all() and gradient.any(), path


@pytest.mark.parametrize("method", BY_NAME)
def test_a_change_is_read_back_and_names_the_same_tensors(method: Method) -> None:
    one, change = put_in(method, tiny_bundle("distilbert"))
    other = tiny_bundle("distilbert").changed_by(change_from_data(change.data()))
    shapes = [{name: value.shape for name, value in b.model.state_dict().items()} for b in (one, other)]
    assert shapes[0] == shapes[1] and other.changes == one.changes


def test_the_base_stays_as_free_as_it_was() -> None:
    bundle = tiny_bundle("bert")
    frozen = "bert.encoder.layer.0.attention.self.key.weight"
    bundle.model.get_parameter(frozen).requires_grad_(False)
    bundle, change = put_in(Lora(), bundle)
    assert {name for name, p in bundle.model.named_parameters() if not p.requires_grad} == {frozen}
    change.merge(bundle)
    assert {name for name, p in bundle.model.named_parameters() if not p.requires_grad} == {frozen}


@pytest.mark.parametrize("method", BY_NAME)
def test_what_is_new_is_fp32_on_a_base_in_bf16(method: Method) -> None:
    bundle = tiny_bundle("bert")
    bundle.model.to(torch.bfloat16)
    before = logits(bundle)
    bundle, change = put_in(method, bundle)
    assert all(bundle.model.get_parameter(name).dtype == torch.float32 for name in change.inserted(bundle))
    assert logits(bundle).dtype == torch.bfloat16
    torch.testing.assert_close(logits(bundle), before, atol=0.0 if method.name != "dora" else 0.05, rtol=0.0)


def count(method: Method, bundle: Bundle) -> int:
    bundle, change = put_in(method, bundle)
    return sum(bundle.model.get_parameter(name).numel() for name in change.inserted(bundle))


def test_exact_counts_without_weights() -> None:
    query_and_value = 2 * BERT_LAYERS * 8 * 2 * WIDTH
    assert count(Lora(), on_meta("bert")) == query_and_value == 294_912
    assert count(Dora(), on_meta("bert")) == query_and_value + 2 * BERT_LAYERS * WIDTH
    assert count(Ia3(), on_meta("bert")) == BERT_LAYERS * (2 * WIDTH + NEURONS) == 55_296
    attention, feed_forward = 4 * 2 * WIDTH, 2 * (WIDTH + NEURONS)
    assert count(Lora(targets="all", rank=64), on_meta("bert")) == BERT_LAYERS * 64 * (attention + feed_forward)
    assert count(Adalora(), on_meta("bert")) == BERT_LAYERS * (12 * (attention + feed_forward) + 6 * 12)
    assert count(Lora(), on_meta("distilbert")) == query_and_value // 2
    assert count(Lora(), on_meta("albert", **ALBERT_BASE)) == 2 * 8 * 2 * WIDTH
    assert count(Ia3(), on_meta("albert", **ALBERT_BASE)) == 2 * WIDTH + NEURONS
    assert count(Lora(), on_meta("gpt2")) == 12 * 8 * (WIDTH + 3 * WIDTH)
    assert count(Ia3(), on_meta("gpt2")) == 12 * (3 * WIDTH + NEURONS)
    assert count(Lora(), on_meta("modernbert")) == 22 * 8 * (WIDTH + 3 * WIDTH)
    assert count(Lora(), on_meta("vit")) == query_and_value


def test_a_base_of_few_bits_is_adapted_everywhere_unless_said() -> None:
    from dataclasses import replace

    sketch = tiny_bundle("bert").sketch()
    stored = replace(sketch, states=frozenset({"quantized"}))
    assert Lora().change(sketch).targets == ("query", "value")
    assert Lora().change(stored).targets == Dora().change(stored).targets == ("all",)
    assert Lora(targets="query").change(stored).targets == ("query",)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_is_every_linear_of_the_blocks(name: str) -> None:
    bundle = tiny_bundle(name)
    found = target_linears(bundle, ("all",))
    inside = [m for block in bundle.family.module_list(bundle.model) for m in block.modules()]
    linears = [m for m in inside if isinstance(m, torch.nn.Linear) or hasattr(m, "nf")]
    assert [id(module) for module in found.values()] == list(dict.fromkeys(id(module) for module in linears))


def test_names_reach_what_roles_do_not() -> None:
    found = target_linears(tiny_bundle("t5"), ("decoder.block.0.layer.0.SelfAttention.q", "query"))
    assert sum("decoder" in path for path in found) == 1 and len(found) == 5
    assert list(target_linears(tiny_bundle("gpt2"), ("query", "value", "c_attn"))) == [
        f"transformer.h.{number}.attn.c_attn" for number in range(4)
    ]


@pytest.mark.parametrize(("target", "near"), [("qury", "query"), ("q_lin", "one of"), ("classifier", "one of")])
def test_a_target_that_matches_nothing(target: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown target '{target}'") as raised:
        put_in(Lora(targets=[target]), tiny_bundle("bert"))
    assert near in str(raised.value)


def test_a_rank_above_the_width() -> None:
    sketch = tiny_bundle("bert").sketch()
    for method in (Lora(rank=33), Dora(rank=33), Adalora(initial_rank=33)):
        assert "above the width of what it updates, 32" in (method.refuses(sketch) or "")
    assert Lora(rank=32).refuses(sketch) is None
    with pytest.raises(InputError, match=r"above the width of .*query, which is 32 x 32"):
        put_in(Lora(rank=33), tiny_bundle("bert"))


def test_nothing_is_put_around_what_stands_there() -> None:
    bundle, _ = put_in(Lora(), tiny_bundle("bert"))
    with pytest.raises(Refusal, match=r"put around .*layer\.0\.attention\.self\.query before"):
        put_in(Lora(), bundle)


def test_pruned_blocks_are_adapted_at_their_own_width() -> None:
    from compress.core.surgery.heads_and_neurons import keep_heads, keep_neurons

    bundle = tiny_bundle("bert")
    keep_heads(bundle.model, bundle.family, ((0,), (0, 1), (0, 1, 2), (3,)))
    keep_neurons(bundle.model, bundle.family, ((0, 5, 6, 7, 8, 9, 10, 11, 12),) * 4)
    bundle, change = put_in(Lora(targets="all", rank=4), bundle)
    before = logits(bundle)
    few_steps(bundle, change.inserted(bundle))
    shapes = {linear_shape(layer) for layer in inserted_layers(bundle.model).values()}
    assert {(8, 32), (16, 32), (24, 32), (9, 32), (32, 9)} <= shapes
    assert not torch.allclose(logits(bundle), before, atol=1e-3)
    assert Lora(targets="all", rank=10).refuses(bundle.sketch()) is not None
