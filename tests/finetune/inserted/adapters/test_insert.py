"""Adapters in a model: where they are put, on copies, under checkpointing, in half precision, and what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from compress.core.errors import InputError, StageFailed
from compress.core.fit.plan import DEFAULT_PLAN
from compress.core.model.bundle import Bundle
from compress.core.model.change import change_from_data
from finetune.inserted.adapters.bottleneck import Bottleneck
from finetune.inserted.adapters.wrappers import InputCache
from finetune.method import Method
from finetune.methods.houlsby import Houlsby
from finetune.methods.parallel import Parallel
from finetune.methods.pfeiffer import Pfeiffer
from finetune.training.fit import activations_recomputed
from tests.finetune.methods.steps import few_steps
from tests.tiny import FAMILIES, tiny_bundle, tiny_inputs, tiny_logits

METHODS = (Houlsby(width=8), Pfeiffer(width=8), Parallel(width=8, placement="both"))
# transformers recomputes no activations of the other two.
CHECKPOINTED = sorted(set(FAMILIES) - {"albert", "mpnet"})


def adapted(method: Method, name: str) -> Bundle:
    bundle = tiny_bundle(name)
    torch.manual_seed(0)
    return bundle.changed_by(method.change(bundle.sketch()))


def gradients(bundle: Bundle, names: frozenset[str]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    bundle.model.train()
    bundle.model.zero_grad()
    for name, parameter in bundle.model.named_parameters():
        parameter.requires_grad_(name in names)
    torch.nn.functional.cross_entropy(
        bundle.model(**tiny_inputs(bundle)).logits, torch.tensor([0, 1, 0, 1, 0])
    ).backward()
    found = {name: bundle.model.get_parameter(name).grad for name in names}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("name", CHECKPOINTED)
def test_recomputed_activations_give_the_same_gradients(method: Method, name: str) -> None:
    bundle = adapted(method, name)
    names = method.trainable(bundle)
    few_steps(bundle, names)
    expected = gradients(bundle, names)
    with activations_recomputed(bundle.model, DEFAULT_PLAN.model_copy(update={"gradient_checkpointing": True})):
        found = gradients(bundle, names)
    assert found.keys() == expected.keys() == names
    for path, gradient in expected.items():
        torch.testing.assert_close(found[path], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("name", ["bert", "albert", "t5", "gpt2"])
def test_a_copy_is_whole_and_of_its_own(method: Method, name: str) -> None:
    bundle = adapted(method, name)
    before, other = tiny_logits(bundle), bundle.copy()
    assert torch.equal(tiny_logits(other), before)
    few_steps(other, method.trainable(other))
    assert not torch.equal(tiny_logits(other), before)
    assert torch.equal(tiny_logits(bundle), before)


def test_what_was_seen_is_forgotten_and_not_copied() -> None:
    bundle = adapted(Parallel(width=8), "bert")
    tiny_logits(bundle)
    readers = [module for module in bundle.model.modules() if isinstance(module, InputCache)]
    assert len(readers) == 4 and all(seen.value is None for seen in readers)
    readers[0].value = torch.ones(1, requires_grad=True) * 2
    assert copy.deepcopy(readers[0]).value is None
    readers[0].take()
    with pytest.raises(StageFailed, match="in another order"):
        readers[0].take()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_block_has_its_adapters(name: str) -> None:
    blocks = 1 if name == "albert" else 4
    for method, each in zip(METHODS, (2, 1, 2)):
        bundle = adapted(method, name)
        assert sum(isinstance(module, Bottleneck) for module in bundle.model.modules()) == each * blocks
        expected = each * blocks * (2 * 8 * 32 + 8 + 32)
        names = method.change(bundle.sketch()).inserted(bundle)
        assert sum(bundle.model.get_parameter(path).numel() for path in names) == expected


def test_blocks_that_share_their_weights_share_their_adapters() -> None:
    bundle = tiny_bundle("bert")
    blocks = bundle.family.module_list(bundle.model)
    blocks[1], blocks[3] = blocks[0], blocks[2]
    for method in METHODS:
        shared = bundle.copy()
        shared = shared.changed_by(method.change(shared.sketch()))
        count = sum(isinstance(module, Bottleneck) for module in shared.model.modules())
        assert count == (2 if isinstance(method, Pfeiffer) else 4)
        expected = tiny_logits(bundle)
        torch.testing.assert_close(tiny_logits(shared), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("name", ["bert", "t5", "gpt2"])
def test_half_precision_with_autocast_and_as_storage(method: Method, name: str) -> None:
    bundle = adapted(method, name)
    names = method.trainable(bundle)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(bundle, names)
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    stored = tiny_bundle(name)
    stored.model.bfloat16()
    stored = stored.changed_by(method.change(stored.sketch()))
    fresh = [stored.model.get_parameter(path) for path in method.change(stored.sketch()).inserted(stored)]
    assert {parameter.dtype for parameter in fresh} == {torch.float32}
    assert tiny_logits(stored).dtype == torch.bfloat16


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_change_is_plain_data_and_works_without_weights(method: Method) -> None:
    bundle = tiny_bundle("bert")
    change = method.change(bundle.sketch())
    again = change_from_data(change.data())
    assert again == change and hash(again) == hash(change)
    meta = Bundle(bundle.model.to("meta"), None)
    meta = meta.changed_by(again)
    assert {parameter.device.type for parameter in meta.model.parameters()} == {"meta"}
    assert "not linear" in str(change.cannot_merge)


def test_a_wide_bottleneck_and_a_second_one_are_refused() -> None:
    bundle = tiny_bundle("bert")
    assert "width 64" in str(Houlsby().refuses(bundle.sketch()))
    assert Houlsby(width=32).refuses(bundle.sketch()) is None
    assert "width 33" in str(Parallel(width=33).refuses(bundle.sketch()))
    assert Pfeiffer().refuses(bundle.sketch()) is None
    with pytest.raises(InputError, match="no bottleneck in a model of width 32"):
        bundle.changed_by(Houlsby().change(bundle.sketch()))
    twice = adapted(Parallel(width=8), "bert")
    with pytest.raises(InputError, match="holds adapters of parallel already"):
        twice.changed_by(Parallel(width=4).change(twice.sketch()))


def test_other_adapters_may_stand_around_the_first() -> None:
    bundle = adapted(Parallel(width=8), "bert")
    bundle = bundle.changed_by(Houlsby(width=4).change(bundle.sketch()))
    first = Parallel(width=8).change(bundle.sketch()).inserted(bundle)
    second = Houlsby(width=4).change(bundle.sketch()).inserted(bundle)
    assert len(second) == 4 * 2 * 4 and not second & first
    few_steps(bundle, second)


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_adapters_train_on_a_gpu(method: Method) -> None:
    bundle = tiny_bundle("bert").to("cuda")
    bundle = bundle.changed_by(method.change(bundle.sketch()))
    names = method.trainable(bundle)
    assert {bundle.model.get_parameter(path).device.type for path in names} == {"cuda"}
    inputs = {name: value.cuda() for name, value in tiny_inputs(bundle).items()}
    with torch.autocast("cuda", torch.bfloat16):
        bundle.model.train()(**inputs).logits.float().square().sum().backward()
    gradients = [bundle.model.get_parameter(path).grad for path in names]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
