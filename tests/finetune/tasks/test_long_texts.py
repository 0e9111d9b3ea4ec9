"""The beginning of a long text has the tokens that stay of the whole."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from finetune.tasks.encoding import tokenize
from finetune.tasks.long_texts import beginnings, longest_word
from tests.tiny import tiny_rows, tiny_tokenizer

WORDS = [word for row in tiny_rows(40) for word in row["text"].split()]


def byte_pairs(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=400, special_tokens=["[PAD]"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, pad_token="[PAD]")


def pieces(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["[PAD]", "<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, pad_token="[PAD]")


@pytest.mark.parametrize("kind", ["word pieces", "byte pairs", "pieces"])
@pytest.mark.parametrize("blank", [" ", "\n\n  "])
def test_truncated_tokens_are_those_of_the_whole(kind: str, blank: str) -> None:
    text = blank.join(random.Random(0).choices([*WORDS, "well,", "x" * 500], k=600))
    trained = {"word pieces": lambda _: tiny_tokenizer(), "byte pairs": byte_pairs, "pieces": pieces}
    tokenizer = trained[kind]([text[:3000]])
    assert len(beginnings([text], tokenizer, tokens=16)[0]) < len(text) / 2
    columns, ids = [[text, "the film", text], ["a plot", text, text]], np.arange(3)
    encoded = tokenize(columns, tokenizer, max_length=16, labels=ids, row_ids=ids)
    whole = tokenizer(*columns, truncation=True, max_length=16)["input_ids"]
    assert encoded.flat["input_ids"].tolist() == [token for row in whole for token in row]


def test_a_text_without_blanks_stays_whole() -> None:
    tokenizer = tiny_tokenizer()
    text = "film" * 5000
    assert beginnings([text], tokenizer, tokens=8) == [text]
    assert longest_word(f"a {text} b") == 20_000
    tokenizer.truncation_side = "left"
    assert beginnings(["a film " * 999], tokenizer, tokens=8) == ["a film " * 999]
