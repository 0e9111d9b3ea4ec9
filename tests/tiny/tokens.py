"""A real tokenizer of some sixty pieces, built in memory."""

from __future__ import annotations

import string
from typing import Any

from tests.tiny.rows import WORDS

__all__ = ["VOCABULARY", "tiny_tokenizer"]

# MPNet's padding index is 1 in its code, so it is 1 for everyone here.
SPECIAL = {
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
PIECES = (*SPECIAL.values(), *WORDS, *string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase))
VOCABULARY = {piece: number for number, piece in enumerate(dict.fromkeys(PIECES))}


def tiny_tokenizer(*, segments: bool = True) -> Any:
    """A WordPiece tokenizer; `segments` says whether the model takes `token_type_ids`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordPiece(dict(VOCABULARY), unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", VOCABULARY["[CLS]"]), ("[SEP]", VOCABULARY["[SEP]"])],
    )
    inputs = ["input_ids", "token_type_ids", "attention_mask"] if segments else ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=64, model_input_names=inputs, eos_token="[SEP]", **SPECIAL
    )
