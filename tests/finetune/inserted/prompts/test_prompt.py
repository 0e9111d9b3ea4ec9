"""Virtual tokens: where they stand, what the head reads, what comes of padding."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from compress.core.errors import InputError, Refusal
from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import position_limit
from finetune.inserted.prompts.insert_prompt import InsertPrompt, encoder_of, prompt_of, settled
from tests.finetune.inserted.prompts.families import answers, inserted, perturbed, recorded, rows_alone
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_inputs

LENGTH = 5
CHANGE = InsertPrompt(length=LENGTH)
TEXT = [name for name in FAMILIES if name not in IMAGE_FAMILIES]
ENCODERS = [name for name in TEXT if name not in ("t5", "bart", "gpt2")]
COUNTED = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Positions are those of the tokens that are not padding, from the padding's id on."""


def among(values: Tensor, own: Tensor, after: int = 1) -> Tensor:
    return torch.cat([values[:, :after], own, values[:, after:]], dim=1)


def by_hand(bundle: Bundle, table: Tensor, inputs: dict[str, Tensor], *, after: int = 1) -> dict[str, Tensor]:
    """What a stock model is given so that it sees the prompt."""
    words: Any = encoder_of(bundle).get_input_embeddings()
    ids, batch = inputs["input_ids"], len(inputs["input_ids"])
    ones = torch.ones(batch, LENGTH, dtype=torch.long)
    given = {
        "inputs_embeds": among(words(ids), table.expand(batch, -1, -1), after),
        "attention_mask": among(inputs["attention_mask"], ones, after),
    }
    if "token_type_ids" in inputs:
        given["token_type_ids"] = among(inputs["token_type_ids"], ones * 0, after)
    if bundle.family.model_type in COUNTED:
        there = among(ids.ne(1).long(), ones, after)
        given["position_ids"] = there.cumsum(1) * there + 1
    return given


@pytest.mark.parametrize("name", ENCODERS)
def test_the_stock_model_gives_the_same_for_embeddings_put_together_by_hand(name: str) -> None:
    stock, prompted = tiny_bundle(name), inserted(name, CHANGE)
    inputs = tiny_inputs(stock)
    with torch.no_grad():
        expected = stock.model(**by_hand(stock, prompt_of(prompted).table, inputs)).logits
    assert torch.allclose(answers(prompted, inputs), expected, atol=1e-6)
    assert not torch.allclose(answers(stock, inputs), expected, atol=1e-2)


def test_gpt2_reads_its_last_token_behind_a_prompt_in_front() -> None:
    stock, prompted = tiny_bundle("gpt2"), inserted("gpt2", CHANGE)
    inputs, model = tiny_inputs(stock), stock.model
    with torch.no_grad():
        hidden = base_model(model)(**by_hand(stock, prompt_of(prompted).table, inputs, after=0)).last_hidden_state
        last = inputs["attention_mask"].sum(1) - 1 + LENGTH
        expected = model.score(hidden[torch.arange(len(last)), last])
    assert torch.allclose(answers(prompted, inputs), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "after"), [("t5", 0), ("bart", 1)])
def test_the_decoder_attends_to_the_prompt_too(name: str, after: int) -> None:
    stock, prompted = tiny_bundle(name), inserted(name, CHANGE)
    inputs, base = tiny_inputs(stock), base_model(stock.model)
    given = by_hand(stock, prompt_of(prompted).table, inputs, after=after)
    _, called, expected = recorded(stock, inputs, base)
    with torch.no_grad():
        out = base(**given, decoder_input_ids=_decoder_ids(stock, inputs, called)).last_hidden_state
    _, _, found = recorded(prompted, inputs)
    assert torch.allclose(found.last_hidden_state, out, atol=1e-6)
    assert not torch.allclose(expected.last_hidden_state, out, atol=1e-2)


def _decoder_ids(bundle: Bundle, inputs: dict[str, Tensor], called: dict[str, Any]) -> Tensor:
    """As the model makes them of the input."""
    given: Tensor | None = called.get("decoder_input_ids")
    if given is not None:
        return given
    from transformers.models.bart.modeling_bart import shift_tokens_right

    return shift_tokens_right(inputs["input_ids"], bundle.config.pad_token_id, bundle.config.decoder_start_token_id)


@pytest.mark.parametrize("name", sorted(IMAGE_FAMILIES))
def test_an_image_gets_its_prompt_behind_the_tokens_of_its_own(name: str) -> None:
    stock, prompted = tiny_bundle(name), inserted(name, CHANGE)
    inputs, base = tiny_inputs(stock), base_model(stock.model)
    with torch.no_grad():
        hidden = base.embeddings(inputs["pixel_values"])
        hidden = among(hidden, prompt_of(prompted).table.expand(len(hidden), -1, -1), stock.family.leading_tokens)
        for layer in base.layers:
            hidden = layer(hidden, None)
        expected = stock.model.classifier(base.layernorm(hidden)[:, 0])
    assert torch.allclose(answers(prompted, inputs), expected, atol=1e-6)


@pytest.mark.parametrize("name", TEXT)
def test_padding_does_not_leak(name: str) -> None:
    bundle = inserted(name, CHANGE)
    inputs = tiny_inputs(bundle)
    assert inputs["attention_mask"].min() == 0
    assert torch.allclose(answers(bundle, inputs), rows_alone(bundle, inputs), atol=1e-5)


@pytest.mark.parametrize("name", ["albert", "electra", "distilbert", "vit"])
def test_where_peft_fails_the_prompt_is_as_wide_as_the_embeddings_and_the_head_reads_cls(name: str) -> None:
    bundle = inserted(name, CHANGE)
    width = {"albert": 16, "electra": 16}.get(name, 32)
    assert prompt_of(bundle).table.shape == (LENGTH, width)
    inputs = tiny_inputs(bundle)
    _, _, out = recorded(bundle, inputs)
    length = 17 if name == "vit" else inputs["input_ids"].shape[1]
    assert out.last_hidden_state.shape[1] == length
    # A hook that ran behind the encoder's blocks sees the prompt; position 0 there is position 0 here.
    _, _, whole = recorded(bundle, inputs, _last_norm(bundle))
    assert whole.shape[1] == length + LENGTH
    assert torch.equal(whole[:, 0], out.last_hidden_state[:, 0])
    assert torch.equal(whole[:, 1 + LENGTH :], out.last_hidden_state[:, 1:])


def _last_norm(bundle: Bundle) -> torch.nn.Module:
    """The last module inside the encoder: what it gives, the encoder gives."""
    paths = {
        "albert": "encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm",
        "electra": "encoder.layer.3.output.LayerNorm",
        "distilbert": "transformer.layer.3.output_layer_norm",
        "vit": "layernorm",
    }
    return base_model(bundle.model).get_submodule(paths[bundle.family.model_type])


def test_a_mean_over_the_tokens_is_one_over_those_of_the_input() -> None:
    bundle = inserted("modernbert", CHANGE, classifier_pooling="mean")
    inputs = tiny_inputs(bundle)
    assert torch.allclose(answers(bundle, inputs), rows_alone(bundle, inputs), atol=1e-5)


def test_hidden_states_are_those_of_the_input_alone() -> None:
    bundle = inserted("bert", CHANGE)
    inputs = tiny_inputs(bundle)
    with torch.no_grad():
        out = bundle.model(**inputs, output_hidden_states=True)
    assert {state.shape[1] for state in out.hidden_states} == {inputs["input_ids"].shape[1]}
    assert len(out.hidden_states) == 5


@pytest.mark.parametrize("name", ["bert", "deberta", "mpnet"])
def test_outputs_as_plain_tuples_are_the_same(name: str) -> None:
    bundle = inserted(name, CHANGE)
    with torch.no_grad():
        assert torch.equal(bundle.model(**tiny_inputs(bundle), return_dict=False)[0], answers(bundle))


@pytest.mark.parametrize("name", ["bert", "gpt2", "roberta"])
def test_given_positions_are_kept_and_make_room(name: str) -> None:
    bundle = inserted(name, CHANGE)
    inputs = tiny_inputs(bundle)
    places = torch.arange(inputs["input_ids"].shape[1]).expand_as(inputs["input_ids"])
    if name == "roberta":
        there = inputs["attention_mask"]
        places = there.cumsum(1) * there + 1
    found = answers(bundle, {**inputs, "position_ids": places})
    assert torch.allclose(found, answers(bundle, inputs), atol=1e-5)


def test_embeddings_may_be_given_instead_of_ids() -> None:
    bundle = inserted("bert", CHANGE)
    inputs = tiny_inputs(bundle)
    words = {"inputs_embeds": base_model(bundle.model).get_input_embeddings()(inputs["input_ids"]).detach()}
    given = {name: value for name, value in inputs.items() if name != "input_ids"}
    assert torch.equal(answers(bundle, {**given, **words}), answers(bundle, inputs))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_deep_copy_has_a_prompt_of_its_own(name: str) -> None:
    bundle = inserted(name, CHANGE)
    expected = answers(bundle)
    other = copy.deepcopy(bundle)
    assert torch.equal(answers(other), expected)
    perturbed(other, CHANGE, seed=4)
    assert not torch.allclose(answers(other), expected, atol=1e-3)
    assert torch.equal(answers(bundle), expected)


@pytest.mark.parametrize("kind", ["lstm", "mlp"])
def test_an_encoder_computes_the_prompt_until_it_is_settled(kind: Any) -> None:
    change = InsertPrompt(length=LENGTH, encoder=kind)
    bundle = inserted("albert", change)
    expected, computed = answers(bundle), prompt_of(bundle)().detach().clone()
    assert not torch.equal(computed, prompt_of(bundle).table)
    bundle = settled(bundle)
    assert torch.allclose(prompt_of(bundle).table, computed, atol=1e-5)
    assert torch.allclose(answers(bundle), expected, atol=1e-5)
    assert change.inserted(bundle) == {"albert.prompt.table"}
    assert bundle.changes == (CHANGE,)


def test_the_change_is_made_on_the_meta_device() -> None:
    with torch.device("meta"):
        bundle = Bundle(type(tiny_bundle("albert").model)(tiny_bundle("albert").config), None)
    bundle = bundle.changed_by(CHANGE)
    assert prompt_of(bundle).table.is_meta
    assert CHANGE.cannot_merge and "part of the input" in CHANGE.cannot_merge
    assert CHANGE.summary(tiny_bundle("bert").sketch()) == {"virtual_tokens": LENGTH}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bert", 72), ("roberta", 70), ("mpnet", 70), ("bart", 72), ("gpt2", 72), ("t5", None), ("modernbert", None)],
)
def test_positions_are_counted_as_the_family_counts_them(name: str, expected: int | None) -> None:
    bundle = tiny_bundle(name)
    assert position_limit(bundle.config, bundle.family) == expected
    if expected is not None:
        bundle = inserted(name, CHANGE)
        room = {"input_ids": torch.full((1, expected - LENGTH), 9)}
        room["input_ids"][:, -1] = bundle.config.eos_token_id
        assert answers(bundle, room).isfinite().all()
        longer = {"input_ids": torch.full((1, expected - LENGTH + 1), 9)}
        with pytest.raises(InputError, match="more positions"):
            answers(bundle, longer)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Refusal, match="leaves no room"):
        tiny_bundle("bert").changed_by(InsertPrompt(length=71))
    bundle = inserted("bert", CHANGE)
    with pytest.raises(Refusal, match="has a prompt already"):
        bundle.changed_by(CHANGE)
    mask = torch.ones(5, 1, 8, 8)
    with pytest.raises(InputError, match="which tokens are padding"):
        answers(bundle, {"input_ids": torch.full((5, 8), 9), "attention_mask": mask})
    decoder = inserted("gpt2", CHANGE)
    cache = base_model(decoder.model)(torch.full((1, 4), 9), use_cache=True).past_key_values
    with pytest.raises(InputError, match="cached keys"):
        base_model(decoder.model)(torch.full((1, 1), 9), past_key_values=cache)
