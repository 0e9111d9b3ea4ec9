"""Keys and values at every block: what attention makes of them, against attention written by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from compress.core.errors import InputError, Refusal
from compress.core.model.bundle import Bundle
from finetune.inserted.prompts import attention_forwards
from finetune.inserted.prompts import prefix as prefix_module
from finetune.inserted.prompts.insert_prefix import InsertPrefix, attentions, prefixes
from tests.finetune.inserted.prompts.families import answers, inserted, perturbed, recorded, rows_alone
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle, tiny_inputs

LENGTH = 5
CHANGE = InsertPrefix(length=LENGTH)
TEXT = [name for name in FAMILIES if name not in IMAGE_FAMILIES]
CLOSED = ("mpnet", "deberta", "deberta-v2")
OPEN = [name for name in FAMILIES if name not in CLOSED]


def heads(values: Tensor, count: int = 4) -> Tensor:
    return values.unflatten(-1, (count, -1)).transpose(-3, -2)


def by_hand(query: Tensor, key: Tensor, value: Tensor, prefix: Any, bias: Tensor, mask: Tensor) -> Tensor:
    """softmax(q [P_k; K]^T / sqrt(d) + bias) [P_v; V], head by head, row by row; no padded row of a batch is read."""
    found = []
    for row in range(len(query)):
        length = int(mask[row].sum())
        keys = torch.cat([heads(prefix.key), key[row, :, :length]], 1)
        values = torch.cat([heads(prefix.value), value[row, :, :length]], 1)
        scores = query[row, :, :length] @ keys.transpose(1, 2)
        scores[:, :, LENGTH:] += bias[..., :length, :length]
        found.append((scores.softmax(-1) @ values).transpose(0, 1).flatten(1))
    return torch.nn.utils.rnn.pad_sequence(found, batch_first=True)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_on_bert_it_is_attention_over_concatenated_keys_and_values(kind: str) -> None:
    bundle = inserted("bert", CHANGE, attention=kind)
    inputs = tiny_inputs(bundle)
    for attention, _ in attentions(bundle):
        (hidden,), _, (found, _) = recorded(bundle, inputs, attention)
        query, key, value = (heads(part(hidden)) for part in (attention.query, attention.key, attention.value))
        none = torch.zeros(1, hidden.shape[1], hidden.shape[1])
        expected = by_hand(query / math.sqrt(8), key, value, attention.prefix, none, inputs["attention_mask"])
        assert torch.allclose(found * inputs["attention_mask"][..., None], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_gpt2_sees_all_of_the_prefix_and_none_of_what_follows(kind: str) -> None:
    bundle = inserted("gpt2", CHANGE, attention=kind)
    inputs = {"input_ids": torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(0))}
    for mask in (None, torch.ones(3, 9, dtype=torch.long)):
        given = inputs if mask is None else {**inputs, "attention_mask": mask}
        attention, _ = next(attentions(bundle))
        (hidden, *_), _, (found, _) = recorded(bundle, given, attention)
        query, key, value = (heads(part) for part in attention.c_attn(hidden).chunk(3, -1))
        later = torch.full((1, 9, 9), float("-inf")).triu(1)
        own = by_hand(query / math.sqrt(8), key, value, attention.prefix, later, torch.ones(3, 9))
        assert torch.allclose(found, attention.c_proj(own), atol=1e-5)


def test_behind_a_rotation_the_prefix_has_no_position() -> None:
    from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

    bundle = inserted("modernbert", CHANGE)
    inputs = tiny_inputs(bundle)
    attention = list(attentions(bundle))[2][0]
    assert attention.sliding_window is None
    args, kwargs, (found, _) = recorded(bundle, inputs, attention)
    hidden = args[0] if args else kwargs["hidden_states"]
    query, key, value = (heads(part) for part in attention.Wqkv(hidden).chunk(3, -1))
    query, key = apply_rotary_pos_emb(query, key, *kwargs["position_embeddings"])
    none = torch.zeros(1, hidden.shape[1], hidden.shape[1])
    expected = attention.Wo(by_hand(query / math.sqrt(8), key, value, attention.prefix, none, inputs["attention_mask"]))
    there = inputs["attention_mask"].bool()
    assert torch.allclose(found[there], expected[there], atol=1e-5)


def test_mpnet_has_no_bias_of_position_at_the_prefix() -> None:
    bundle = inserted("mpnet", CHANGE)
    inputs = tiny_inputs(bundle)
    attention = list(attentions(bundle))[1][0]
    (hidden, _, bias), _, (found,) = recorded(bundle, inputs, attention)
    query, key, value = (heads(part(hidden)) for part in (attention.q, attention.k, attention.v))
    expected = attention.o(
        by_hand(query / math.sqrt(8), key, value, attention.prefix, bias[0], inputs["attention_mask"])
    )
    there = inputs["attention_mask"].bool()
    assert torch.allclose(found[there], expected[there], atol=1e-5)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_t5_has_no_bias_of_position_at_the_prefix(kind: str) -> None:
    bundle = inserted("t5", CHANGE, attention=kind)
    inputs = tiny_inputs(bundle)
    attention = list(attentions(bundle))[1][0]
    (hidden,), kwargs, (found, *_) = recorded(bundle, inputs, attention)
    query, key, value = (heads(part(hidden)) for part in (attention.q, attention.k, attention.v))
    bias = kwargs["position_bias"][0]
    expected = attention.o(by_hand(query, key, value, attention.prefix, bias, inputs["attention_mask"]))
    there = inputs["attention_mask"].bool()
    assert torch.allclose(found[there], expected[there], atol=1e-5)


PLAIN = {"relative_attention": False, "pos_att_type": [], "position_biased_input": True}


def projected(attention: Any, hidden: Tensor) -> tuple[Tensor, ...]:
    """Query, key and value of DeBERTa, by heads."""
    if hasattr(attention, "query_proj"):
        return tuple(heads(part(hidden)) for part in (attention.query_proj, attention.key_proj, attention.value_proj))
    query, key, value = heads(attention.in_proj(hidden)).chunk(3, dim=-1)
    return query + heads(attention.q_bias[None, None]), key, value + heads(attention.v_bias[None, None])


@pytest.mark.parametrize("name", ["deberta", "deberta-v2"])
def test_on_deberta_without_relative_positions_it_is_the_plain_attention(name: str) -> None:
    bundle = inserted(name, CHANGE, **PLAIN)
    inputs = tiny_inputs(bundle)
    attention, _ = next(attentions(bundle))
    (hidden, *_), _, (found, _) = recorded(bundle, inputs, attention)
    query, key, value = projected(attention, hidden)
    none = torch.zeros(1, hidden.shape[1], hidden.shape[1])
    expected = by_hand(query / math.sqrt(8), key, value, attention.prefix, none, inputs["attention_mask"])
    there = inputs["attention_mask"].bool()
    assert torch.allclose(found[there], expected[there], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"share_att_key": True}, {"talking_head": True}, {"pos_att_type": ["p2c"]}])
@pytest.mark.parametrize("name", CLOSED)
def test_what_is_written_out_is_the_stock_attention_where_no_query_may_see_the_prefix(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock, bundle = tiny_bundle(name, **options), inserted(name, CHANGE, **options)
    assert not torch.allclose(answers(bundle), answers(stock), atol=1e-2)
    pad = torch.nn.functional.pad
    hidden = {torch.bool: False, torch.float32: -1e9}
    monkeypatch.setattr(
        attention_forwards, "widened", lambda scores, n, _: pad(scores, (n, 0), value=hidden[scores.dtype])
    )
    assert torch.allclose(answers(bundle), answers(stock), atol=1e-5)


@pytest.mark.parametrize("name", TEXT)
def test_padding_does_not_leak(name: str) -> None:
    bundle = inserted(name, CHANGE)
    inputs = tiny_inputs(bundle)
    assert inputs["attention_mask"].min() == 0
    assert torch.allclose(answers(bundle, inputs), rows_alone(bundle, inputs), atol=1e-5)


@pytest.mark.parametrize("name", OPEN)
def test_eager_and_sdpa_give_the_same(name: str) -> None:
    one, other = (inserted(name, CHANGE, attention=kind) for kind in ("eager", "sdpa"))
    assert torch.allclose(answers(one), answers(other), atol=1e-5)
    switched: Any = one.model
    switched.set_attn_implementation("sdpa")
    assert torch.equal(answers(one), answers(other))


@pytest.mark.parametrize(
    "name", ["albert", "deberta", "deberta-v2", "mpnet", "modernbert", "distilbert", "vit", "t5", "bart"]
)
def test_where_peft_fails_every_layer_has_a_prefix_that_changes_the_answer(name: str) -> None:
    bundle = inserted(name, CHANGE)
    found = list(prefixes(bundle))
    assert len(found) == (1 if name == "albert" else 4)
    whole = answers(bundle)
    for prefix in found:
        before = prefix.value.detach().clone()
        prefix.value.data.zero_()
        assert not torch.allclose(answers(bundle), whole, atol=1e-4)
        prefix.value.data.copy_(before)
    assert torch.equal(answers(bundle), whole)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_deep_copy_has_a_prefix_of_its_own(name: str) -> None:
    bundle = inserted(name, CHANGE)
    expected = answers(bundle)
    other = copy.deepcopy(bundle)
    assert torch.equal(answers(other), expected)
    perturbed(other, CHANGE, seed=4)
    assert not torch.allclose(answers(other), expected, atol=1e-3)
    assert torch.equal(answers(bundle), expected)
    if name not in CLOSED:
        own, theirs = (next(attentions(each))[0].config.config for each in (bundle, other))
        assert own is not theirs and type(own) is type(theirs)


def test_the_configuration_keeps_its_own_attention(tmp_path: Any) -> None:
    bundle = inserted("bert", CHANGE)
    assert bundle.config._attn_implementation == "sdpa"
    bundle.config.save_pretrained(tmp_path)
    assert "trimformer" not in (tmp_path / "config.json").read_text()
    attention, _ = next(attentions(bundle))
    assert attention.config.hidden_size == 32
    assert not hasattr(attention.config, "nothing_like_it")


def test_heads_that_were_cut_have_no_prefix() -> None:
    from compress.core.surgery.heads_and_neurons import keep_heads

    bundle = tiny_bundle("bert")
    keep_heads(bundle.model, bundle.family, ((0, 2), (1,), (0, 1, 2, 3), (3,)))
    bundle = perturbed(bundle.changed_by(CHANGE), CHANGE)
    assert [prefix.key.shape[1] for prefix in prefixes(bundle)] == [16, 8, 32, 8]
    inputs = tiny_inputs(bundle)
    assert torch.allclose(answers(bundle, inputs), rows_alone(bundle, inputs), atol=1e-5)


def test_the_change_is_made_on_the_meta_device() -> None:
    with torch.device("meta"):
        bundle = Bundle(type(tiny_bundle("t5").model)(tiny_bundle("t5").config), None)
    bundle = bundle.changed_by(CHANGE)
    assert all(prefix.key.is_meta for prefix in prefixes(bundle))
    assert CHANGE.cannot_merge and "no weight of the base" in CHANGE.cannot_merge
    assert CHANGE.summary(tiny_bundle("bert").sketch()) == {"prefix_length": LENGTH}


def test_what_cannot_be_is_refused() -> None:
    bundle = inserted("bert", CHANGE)
    with pytest.raises(Refusal, match="has a prefix already"):
        bundle.changed_by(CHANGE)
    bundle.config._attn_implementation_internal = "flex_attention"
    attention, _ = next(attentions(bundle))
    query = torch.zeros(1, 4, 3, 8)
    with pytest.raises(InputError, match="eager"):
        prefix_module.attend(attention, query, query, query, None)
    with pytest.raises(InputError, match="not written out"):
        attention_forwards.with_prefix(torch.nn.Linear)
    with pytest.raises(InputError, match="same tokens"):
        next(attentions(inserted("deberta", CHANGE)))[0](query[0], query, query_states=query[0])
