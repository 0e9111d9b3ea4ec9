"""`prompt`, `p_tuning` and `prefix` on every family: counts, what moves, and the way through a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import finetune
from compress.core.errors import InputError, Refusal
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.inserted.prompts.insert_prefix import prefixes
from finetune.inserted.prompts.insert_prompt import encoder_of, prompt_of
from finetune.merge.stage import Merge
from finetune.method import Method
from finetune.methods.p_tuning import PTuning
from finetune.methods.prefix import Prefix
from finetune.methods.prompt import Prompt
from finetune.parameters.names import head_names
from finetune.stage import Finetune
from tests.finetune.methods.steps import few_steps
from tests.finetune.methods.test_counts import ALBERT_BASE, LARGE, ROBERTA_BASE, on_meta
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_inputs, tiny_logits
from tests.tiny.stages import declared, refused

SHORT = TrainPlan(max_steps=3, batch_size=16, precision="fp32", learning_rate=1e-2, warmup=0.0)
METHODS: tuple[Method, ...] = (Prompt(length=4, init="random"), PTuning(length=4), Prefix(length=4))
EVERYWHERE = [pytest.param(method, name, id=f"{method.name}-{name}") for method in METHODS for name in FAMILIES]


def lstm(width: int) -> int:
    """Parameters of p-tuning's encoder: two bidirectional layers half as wide, and two linears."""
    half = width // 2
    return 2 * (4 * half * (width + half + 2) + 4 * half * (width + half + 2)) + 2 * (width * width + width)


COUNTS: list[tuple[Method, str, dict[str, Any], int]] = [
    (Prompt(), "bert", {}, 20 * 768),
    (Prompt(length=100), "bert", LARGE, 100 * 1024),
    (Prompt(), "albert", ALBERT_BASE, 20 * 128),
    (Prompt(), "electra", {}, 20 * 128),
    (Prompt(), "distilbert", {}, 20 * 768),
    (Prompt(init="random"), "vit", {}, 20 * 768),
    (Prompt(), "t5", {}, 20 * 512),
    (PTuning(), "bert", {}, 20 * 768 + lstm(768)),
    (PTuning(encoder="mlp"), "albert", ALBERT_BASE, 20 * 128 + 2 * (128 * 128 + 128)),
    (Prefix(), "bert", {}, 12 * 2 * 20 * 768),
    (Prefix(length=128), "bert", LARGE, 24 * 2 * 128 * 1024),
    (Prefix(), "roberta", ROBERTA_BASE, 12 * 2 * 20 * 768),
    (Prefix(), "albert", ALBERT_BASE, 2 * 20 * 768),
    (Prefix(), "modernbert", {}, 22 * 2 * 20 * 768),
    (Prefix(), "t5", {}, 6 * 2 * 20 * 512),
    (Prefix(), "vit", {}, 12 * 2 * 20 * 768),
]
Make = Callable[..., Context]


def state(bundle: Bundle) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}


def changed(method: Method, name: str) -> Bundle:
    torch.manual_seed(0)
    bundle = tiny_bundle(name)
    return bundle.changed_by(method.change(bundle.sketch()))


@pytest.mark.parametrize(("method", "name", "config", "expected"), COUNTS)
def test_exactly_so_many_parameters_are_inserted(
    method: Method, name: str, config: dict[str, Any], expected: int
) -> None:
    bundle = on_meta(name, **config)
    bundle = bundle.changed_by(method.change(bundle.sketch()))
    trained, head = method.trainable(bundle), head_names(bundle)
    assert head < trained
    assert sum(bundle.model.get_parameter(path).numel() for path in trained - head) == expected
    assert "adapted" in bundle.states


@pytest.mark.parametrize(("method", "name"), EVERYWHERE)
def test_what_is_trained_moves_and_all_else_stays_to_the_bit(method: Method, name: str) -> None:
    assert method.refuses(tiny_bundle(name).sketch()) is None
    bundle = changed(method, name)
    before, names = state(bundle), method.trainable(bundle)
    few_steps(bundle, names)
    parameters = dict(bundle.model.named_parameters())
    assert {n for n, value in parameters.items() if not torch.equal(value, before[n])} == names
    assert all(torch.equal(value, before[n]) for n, value in bundle.model.state_dict().items() if n not in parameters)


@pytest.mark.parametrize(("method", "name"), EVERYWHERE)
def test_gradients_are_the_same_when_activations_are_computed_again(method: Method, name: str) -> None:
    bundle = changed(method, name)
    model: Any = bundle.model
    if not model.supports_gradient_checkpointing:
        pytest.skip("the family keeps its activations")
    names = method.trainable(bundle) - head_names(bundle)
    found = [_gradients(bundle, names)]
    # transformers calls this by another name from 5.23 on.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    model.config.use_cache = False
    found.append(_gradients(bundle, names))
    for path in names:
        assert torch.allclose(found[0][path], found[1][path], atol=1e-5), path


def _gradients(bundle: Bundle, names: frozenset[str]) -> dict[str, Tensor]:
    bundle.model.train()
    for module in bundle.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    torch.manual_seed(0)
    bundle.model.zero_grad()
    bundle.model(**tiny_inputs(bundle)).logits.square().sum().backward()
    return {name: bundle.model.get_parameter(name).grad.clone() for name in names}  # type: ignore[union-attr]


# DeBERTa's own code cannot run in bf16.
@pytest.mark.parametrize(("method", "name"), [case for case in EVERYWHERE if case.values[1] != "deberta"])
def test_it_trains_under_autocast(method: Method, name: str) -> None:
    bundle = changed(method, name)
    expected, names = tiny_logits(bundle), method.trainable(bundle)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = bundle.model(**tiny_inputs(bundle)).logits
        assert torch.allclose(logits.float(), expected, atol=0.25, rtol=0.1)
        logits.float().square().sum().backward()
    gradients = [bundle.model.get_parameter(path).grad for path in names]
    assert all(g is not None and g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (Prompt(length=4), "bert"),
        (Prompt(length=4, init="vocabulary"), "gpt2"),
        (Prompt(length=4, init="random"), "roberta"),
        (PTuning(length=4), "albert"),
        (PTuning(length=4, encoder="mlp"), "bart"),
        (Prefix(length=4), "deberta-v2"),
        (Prefix(length=4), "t5"),
        (Prefix(length=4), "modernbert"),
    ],
)
def test_the_stage_trains_so_and_its_delta_loads_again(
    method: Method, name: str, context: Make, tmp_path: Path
) -> None:
    source, ctx = tiny_bundle(name), context()
    after = Finetune(method=method, train=SHORT).run(source.copy(), ctx)
    own = method.trainable(after) - head_names(after)
    base = state(source)
    assert own == after.model.state_dict().keys() - base.keys()
    frozen = base.keys() - head_names(after)
    assert all(torch.equal(after.model.state_dict()[n], base[n]) for n in frozen)
    finetune.save_delta(after, tmp_path)
    again = finetune.load(source, tmp_path)
    assert torch.equal(tiny_logits(again), tiny_logits(after))
    assert "adapted" in again.states and again.tuned == after.tuned
    assert (tmp_path / "delta.safetensors").stat().st_size == ctx.facts["delta_bytes"]
    with pytest.raises(Refusal, match="cannot be merged"):
        Merge().run(again, ctx)


@pytest.mark.parametrize("base", ["bf16", "int8", "nf4"])
@pytest.mark.parametrize(
    ("method", "name"),
    [(METHODS[0], "roberta"), (METHODS[1], "t5"), (METHODS[2], "bert"), (METHODS[2], "gpt2"), (METHODS[2], "deberta")],
    ids=lambda value: getattr(value, "name", value),
)
def test_on_a_base_in_fewer_bits_it_moves_after_an_evaluation_too(method: Method, name: str, base: Any) -> None:
    torch.manual_seed(0)
    bundle = tiny_bundle(name)
    bundle = bundle.changed_by(declared(Finetune(method=method, base=base), bundle.sketch()).change)
    names = method.trainable(bundle)
    assert {bundle.model.get_parameter(path).dtype for path in names} == {torch.float32}
    tiny_logits(bundle)
    before = state(bundle)
    few_steps(bundle, names)
    assert {path for path, tensor in state(bundle).items() if not torch.equal(tensor, before[path])} == names


def test_p_tuning_on_a_stored_base_loads_again(context: Make, tmp_path: Path) -> None:
    source = tiny_bundle("bert")
    after = Finetune(method=METHODS[1], base="nf4", train=SHORT).run(source.copy(), context())
    assert [change.kind for change in after.changes] == ["store_linears", "insert_prompt"]
    finetune.save_delta(after, tmp_path)
    assert torch.equal(tiny_logits(finetune.load(source, tmp_path)), tiny_logits(after))


def test_a_prompt_and_a_prefix_take_turns_on_one_base(context: Make, tmp_path: Path) -> None:
    source = tiny_bundle("mpnet")
    untouched, deltas = tiny_logits(source), finetune.Deltas(source)
    expected = {}
    for method in METHODS:
        after = Finetune(method=method, train=SHORT).run(source.copy(), context())
        finetune.save_delta(after, tmp_path / method.name)
        deltas.add(method.name, tmp_path / method.name)
        expected[method.name] = tiny_logits(after)
    for name in ("prefix", "prompt", "p_tuning", "prefix"):
        assert torch.equal(tiny_logits(deltas.use(name)), expected[name])
    assert torch.equal(tiny_logits(deltas.use(None)), untouched)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["bert", "t5", "gpt2", "deberta-v2", "modernbert", "mpnet", "vit"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_on_cuda_it_answers_and_trains_as_on_the_cpu(method: Method, name: str) -> None:
    torch.manual_seed(0)
    bundle = tiny_bundle(name)
    bundle = bundle.changed_by(method.change(bundle.sketch()))
    expected, names = tiny_logits(bundle), method.trainable(bundle)
    bundle.to("cuda")
    inputs = {key: value.cuda() for key, value in tiny_inputs(bundle).items()}
    with torch.no_grad():
        assert torch.allclose(bundle.model(**inputs).logits.cpu(), expected, atol=1e-3)
    bundle.model.train()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        bundle.model(**inputs).logits.float().square().sum().backward()
    gradients = [bundle.model.get_parameter(path).grad for path in names]
    assert all(g is not None and g.device.type == "cuda" and g.isfinite().all() for g in gradients)
    inserted = method.change(bundle.sketch())
    fresh = tiny_bundle(name).to("cuda")
    fresh = fresh.changed_by(inserted)
    assert {fresh.model.get_parameter(path).device.type for path in inserted.inserted(fresh)} == {"cuda"}  # type: ignore[attr-defined]


def test_the_head_learns_no_faster_than_alone(context: Make) -> None:
    asked: list[tuple[float, set[float]]] = []

    def fit(bundle: Bundle, objective: Any, plan: TrainPlan, *, name: str, rates: Any) -> Any:
        assert set(rates) <= head_names(bundle)
        asked.append((plan.learning_rate or 0.0, {rate.scale for rate in rates.values()}))

    ctx, bundle = context(), changed(METHODS[2], "bert")
    ctx.fit = fit  # type: ignore[assignment]
    for rate in (5e-4, 1e-2):
        METHODS[2].fit(bundle, ctx, TrainPlan(learning_rate=rate), "fit")
    assert asked == [(5e-4, set()), (1e-2, {0.1})]


def test_of_p_tuning_only_the_table_is_kept(context: Make) -> None:
    method, ctx = PTuning(length=4), context()
    after = Finetune(method=method, train=SHORT).run(tiny_bundle("albert"), ctx)
    assert method.trainable(after) - head_names(after) == {"albert.prompt.table"}
    head = sum(after.model.get_parameter(path).numel() for path in head_names(after))
    assert ctx.facts["trained_parameters"] == 4 * 16 + lstm(16) + head
    assert after.tuned is not None and "albert.prompt.table" in after.tuned.names
    assert [change.data() for change in after.changes] == [{"kind": "insert_prompt", "length": 4, "encoder": None}]


@pytest.mark.parametrize("method", METHODS)
def test_the_start_is_the_seeds_and_not_the_last_runs(method: Method, context: Make) -> None:
    starts = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        bundle = tiny_bundle("bert")
        starts.append(state(method.prepare(bundle.changed_by(method.change(bundle.sketch())), context())))
    assert all(torch.equal(value, starts[1][name]) for name, value in starts[0].items())
    other = context()
    other.seed = 1
    bundle = tiny_bundle("bert")
    third = method.prepare(bundle.changed_by(method.change(bundle.sketch())), other)
    inserted = method.trainable(third) - head_names(third)
    same = [n for n in inserted if torch.equal(third.model.state_dict()[n], starts[0][n])]
    assert same == []


def test_label_words_then_frequent_tokens(context: Make) -> None:
    bundle = changed(Prompt(length=6), "electra")
    ctx = context()
    ctx.task = Named(ctx.task, ("good film", "bad"))
    bundle = Prompt(length=6, init="labels").prepare(bundle, ctx)
    words, ids = encoder_of(bundle).get_input_embeddings().weight, bundle.processor.vocab
    table = prompt_of(bundle).table
    assert torch.allclose(table[0], (words[ids["good"]] + words[ids["film"]]) / 2)
    assert torch.allclose(table[1], words[ids["bad"]])
    drawn = [[n for n, word in enumerate(words) if torch.equal(row, word)] for row in table[2:]]
    assert all(len(found) == 1 for found in drawn) and len({found[0] for found in drawn}) == 4
    seen = {token for batch in ctx.batches(bundle, "train") for token in batch["input_ids"].reshape(-1).tolist()}
    assert {found[0] for found in drawn} <= seen - set(bundle.processor.all_special_ids)


def test_a_random_start_is_as_wide_as_the_words(context: Make) -> None:
    bundle = changed(Prompt(length=40, init="random"), "gpt2")
    bundle = Prompt(length=40, init="random").prepare(bundle, context())
    words = encoder_of(bundle).get_input_embeddings().weight
    assert prompt_of(bundle).table.std().item() == pytest.approx(words.std().item(), rel=0.05)
    many = changed(Prompt(length=60, init="vocabulary"), "t5")
    many = Prompt(length=60, init="vocabulary").prepare(many, context())
    assert prompt_of(many).table.isfinite().all()


def test_a_prefix_starts_as_wide_as_asked(context: Make) -> None:
    bundle = Prefix(length=4, init_std=0.5).prepare(changed(Prefix(length=4), "bert"), context())
    values = torch.cat([table.detach().reshape(-1) for prefix in prefixes(bundle) for table in prefix.parameters()])
    assert values.std().item() == pytest.approx(0.5, rel=0.1)


class Named:
    """A task under other label names."""

    def __init__(self, task: Any, names: tuple[str, ...], *, regression: bool = False, max_length: int = 24):
        self.task, self.class_names, self.max_length = task, () if regression else names, max_length

    def longest_row(self) -> int:
        return self.max_length


def test_mistakes_are_told_before_the_training(context: Make) -> None:
    for name in IMAGE_FAMILIES:
        assert "init: random" in str(refused(Finetune(method=Prompt()), tiny_bundle(name).sketch()))
        assert refused(Finetune(method=Prompt(init="random")), tiny_bundle(name).sketch()) is None
    ctx = context()
    ctx.task = Named(ctx.task, ("score",), regression=True)
    with pytest.raises(InputError, match="label words"):
        Prompt(length=4).prepare(changed(Prompt(length=4), "bert"), ctx)
    ctx.task = Named(None, (), max_length=128)
    for method in (Prompt(length=9, init="random"), PTuning(length=9)):
        with pytest.raises(InputError, match=r"rows of 64 tokens and a prompt of 9 .* model has, 72"):
            method.prepare(changed(method, "bert"), ctx)
        method.prepare(changed(method, "t5"), ctx)


def test_each_method_has_a_plan_of_its_own() -> None:
    plans = {method.name: Finetune(method=method).plan() for method in METHODS}
    assert list(plans) == ["prompt", "p_tuning", "prefix"]
    assert all(plan.weight_decay == 0.0 and (plan.epochs or 0) <= 10 for plan in plans.values())
    assert 5e-3 <= (plans["prefix"].learning_rate or 0) <= 1e-2


def test_recipe_forms() -> None:
    read: Any = Finetune.model_validate({"method": {"prefix": {"length": 128}}})
    assert read.method == Prefix(length=128)
    assert Finetune.model_validate({"method": "p_tuning"}).dump() == {"method": "p_tuning"}
    assert Finetune.model_validate({"method": {"prompt": {"init": "vocabulary"}}}).method == Prompt(init="vocabulary")
