"""A model reads the rows that it is given, or the first that it cannot read is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compress.core.checkpoint.reconcile import reconciled
from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from finetune.batching.fitting import check_rows
from finetune.tasks.text_classification import TextClassification
from tests.tiny import tiny_bundle, tiny_rows

Write = Callable[[str, list[dict[str, Any]]], Path]
GOOD = [{**row, "other": row["text"]} for row in tiny_rows(12)]


def complaint(bundle: Bundle, write: Write, odd: str, **settings: Any) -> str:
    """What is said of rows of which one, on line 6 of the evaluation, has the text `odd`."""
    rows = [dict(row) for row in GOOD]
    rows[5]["text"] = odd
    task = TextClassification(
        train=str(write("train.jsonl", GOOD)), evaluation=str(write("dev.jsonl", rows)), **settings
    )
    with pytest.raises(InputError) as caught:
        check_rows(bundle, task, task.load(0))
    return str(caught.value)


def without_specials(bundle: Bundle) -> Bundle:
    from tokenizers import processors

    bundle.processor.backend_tokenizer.post_processor = processors.ByteLevel()
    return bundle


@pytest.mark.parametrize("family", ["bert", "t5", "gpt2"])
def test_rows_that_fit(family: str, write: Write) -> None:
    path = str(write("train.jsonl", GOOD))
    task = TextClassification(train=path, evaluation=str(write("dev.jsonl", GOOD)), text=["text", "other"])
    check_rows(tiny_bundle(family), task, task.load(0))
    assert task.place(12 + 3).endswith("dev.jsonl:4, 'text' and 'other'")


def test_a_token_without_an_embedding(write: Write) -> None:
    bundle = tiny_bundle("bert")
    bundle.processor.add_tokens(["<url>"])
    found = complaint(bundle, write, "the <url> film")
    count = bundle.config.vocab_size
    assert f"dev.jsonl:6, 'text': '<url>' has the token id {count}, and the model has {count} token embeddings" in found


def test_padding_without_an_embedding(write: Write) -> None:
    bundle = tiny_bundle("bert")
    bundle.processor.add_special_tokens({"pad_token": "<padding>"})
    task = TextClassification(train=str(write("train.jsonl", GOOD)), evaluation=str(write("dev.jsonl", GOOD)))
    with pytest.raises(InputError, match="pads 'input_ids' with"):
        check_rows(bundle, task, task.load(0))


@pytest.mark.parametrize(("family", "limit"), [("bert", 72), ("roberta", 70), ("mpnet", 70), ("bart", 72)])
def test_more_tokens_than_positions(family: str, limit: int, write: Write) -> None:
    bundle = tiny_bundle(family)
    bundle.processor.model_max_length = 10**30
    found = complaint(bundle, write, "film " * 99, max_length=limit + 1)
    assert f"dev.jsonl:6, 'text': the row has {limit + 1} tokens, and the model has {limit} positions" in found
    assert f"set `max_length: {limit}`" in found


def test_more_segments_than_embeddings(write: Write) -> None:
    bundle = tiny_bundle("roberta", type_vocab_size=1)
    bundle.processor.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    found = complaint(bundle, write, "a film", text=["text", "other"])
    assert "has the segment id 1, and the model has 1 segment embeddings" in found
    assert "train.jsonl:1, 'text' and 'other'" in found


def test_an_end_token_inside_a_text(write: Write) -> None:
    found = complaint(tiny_bundle("bart"), write, "the film [SEP] is good")
    assert "dev.jsonl:6, 'text': the row has 2 end tokens (id 3), and others have 1: a batch" in found


def test_rows_without_an_end_token(write: Write) -> None:
    found = complaint(without_specials(tiny_bundle("bart")), write, "a film")
    assert "train.jsonl:1, 'text': the row has 0 end tokens (id 3): the head reads the last" in found


def test_a_row_without_tokens(write: Write) -> None:
    assert "dev.jsonl:6, 'text': the row has no tokens" in complaint(without_specials(tiny_bundle("gpt2")), write, "")
    found = complaint(without_specials(tiny_bundle("gpt2")), write, "[PAD]")
    assert "the row holds nothing but padding" in found


def test_positions_counted_from_another_padding_id(write: Write) -> None:
    bundle = tiny_bundle("roberta")
    bundle.processor.pad_token = "[MASK]"
    found = complaint(bundle, write, "a film")
    assert "pads with the id 4, and the model counts positions from the padding id 1" in found


def test_a_word_of_a_million_characters(write: Write) -> None:
    found = complaint(tiny_bundle("bert"), write, "x" * 1_000_001)
    assert "dev.jsonl:6: column 'text': the text holds a word of 1,000,001 characters" in found
    assert len(found) < 600


@pytest.mark.parametrize(
    ("family", "field", "given", "count"),
    [
        ("roberta", "pad_token_id", None, "no"),
        ("bart", "eos_token_id", None, "no"),
        ("bart", "eos_token_id", [1, 2], "several"),
    ],
)
def test_ids_that_a_model_cannot_do_without(family: str, field: str, given: Any, count: str) -> None:
    bundle = tiny_bundle(family)
    setattr(bundle.config, field, given)
    with pytest.raises(InputError, match=f"config.json names {count} {field}, and a {family} model"):
        reconciled(bundle.processor, bundle.config, bundle.family)


def test_a_list_of_one_end_token_is_that_token() -> None:
    bundle = tiny_bundle("bart", eos_token_id=[3])
    assert reconciled(bundle.processor, bundle.config, bundle.family) == ()
    assert bundle.config.eos_token_id == 3


@pytest.mark.parametrize(("theirs", "named"), [(None, "no padding id"), (7, "the padding id 7")])
def test_padding_is_the_tokenizers(theirs: int | None, named: str) -> None:
    bundle = tiny_bundle("gpt2", pad_token_id=theirs)
    notes = reconciled(bundle.processor, bundle.config, bundle.family)
    assert bundle.config.pad_token_id == bundle.processor.pad_token_id == 1
    assert notes == (f"config.json names {named}, and the tokenizer pads with 1, which is taken",)
    assert reconciled(bundle.processor, bundle.config, bundle.family) == ()


def test_padding_is_that_of_the_configuration_where_the_tokenizer_has_none() -> None:
    bundle = tiny_bundle("bert")
    bundle.processor.pad_token = None
    assert "takes that of config.json, '[PAD]'" in reconciled(bundle.processor, bundle.config, bundle.family)[0]
    assert bundle.processor.pad_token_id == 1
