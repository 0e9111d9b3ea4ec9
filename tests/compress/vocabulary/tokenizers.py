"""Small real tokenizers of each algorithm, and of the classes of transformers that read them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tests.tiny.rows import WORDS

__all__ = ["KINDS", "LETTERS", "build", "random_texts"]

LETTERS = "aehilnorst"
TEXTS = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of known words, of made words of known letters, and of letters that no vocabulary has."""
    import random

    draw = random.Random(seed)
    return [" ".join(_word(draw) for _ in range(draw.randint(1, 9))) for _ in range(count)]


def _word(draw: Any) -> str:
    kind = draw.random()
    if kind < 0.6:
        return draw.choice(WORDS)
    letters = LETTERS + "ßz" if kind > 0.95 else LETTERS
    return "".join(draw.choice(letters) for _ in range(draw.randint(1, 8)))


@cache
def _trained(kind: str) -> str:
    """The rules of a tokenizer trained on the tiny language, as JSON."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*TEXTS, *random_texts(300, seed=99)]
    common: dict[str, Any] = {"vocab_size": 300, "special_tokens": special, "show_progress": False}
    if kind == "wordpiece":
        found = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        found.normalizer, found.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(**common)
    elif kind == "unigram":
        found = Tokenizer(models.Unigram())
        found.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="[UNK]", **common)
    elif kind == "byte_bpe":
        found = Tokenizer(models.BPE())
        found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(**common, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    else:
        found = Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"))
        found.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(**common, end_of_word_suffix="</w>")
    found.train_from_iterator(words, trainer)
    ids = [("[CLS]", found.token_to_id("[CLS]")), ("[SEP]", found.token_to_id("[SEP]"))]
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return str(found.to_str())


KINDS = ("wordpiece", "unigram", "byte_bpe", "suffix_bpe")


def build(kind: str, directory: Path | None = None) -> Any:
    """The tokenizer as transformers has it; out of a directory where one is given, as every later stage opens it."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    names = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    found = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(kind)),
        model_max_length=64,
        **{f"{name}_token": token for name, token in names.items()},
    )
    if directory is None:
        return found
    found.save_pretrained(directory)
    return AutoTokenizer.from_pretrained(directory)
