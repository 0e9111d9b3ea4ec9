"""Tokenisation of text: token ids kept flat in memory, padded to the longest row when a batch is cut."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.core.errors import InputError
from compress.core.fit.protocol import Texts
from finetune.tasks.long_texts import beginnings
from finetune.tasks.task import Encoded

__all__ = ["EncodedText", "encode_texts", "processor_fingerprint", "text_fingerprint", "tokenize"]

CHUNK = 10_000
"""Rows that are tokenised at once: bounds the memory of Python lists."""


class EncodedText(Encoded):
    """Tokenised rows, end to end in one array for each input of the model, cut by `offsets`.

    Args:
        flat: name of an input -> (tokens,) int32.
        lengths: (rows,) tokens of each row, padding left out.
        padding: name of an input -> its padding value. It stands behind the tokens, whatever side the tokenizer pads
            on: heads read the first token, and positions are counted from it, so that on the left it would change
            the answers.
        labels: (rows,) int64 or float32.
        row_ids: (rows,) int64.
    """

    def __init__(
        self,
        flat: dict[str, np.ndarray],
        lengths: np.ndarray,
        *,
        padding: dict[str, int],
        labels: np.ndarray,
        row_ids: np.ndarray,
    ):
        super().__init__(lengths, labels, row_ids)
        self.flat, self.padding = flat, padding
        self.offsets = np.concatenate([[0], np.cumsum(lengths)])

    def inputs(self, indices: np.ndarray) -> dict[str, Tensor]:
        lengths = self.lengths[indices]
        width = int(lengths.max(initial=0))
        there = np.arange(width) < lengths[:, None]
        spans = [slice(self.offsets[i], self.offsets[i + 1]) for i in indices]
        return {name: self._padded(name, there, spans) for name in self.flat}

    def _padded(self, name: str, there: np.ndarray, spans: list[slice]) -> Tensor:
        padded = np.full(there.shape, self.padding[name], dtype=np.int64)
        if spans:
            padded[there] = np.concatenate([self.flat[name][span] for span in spans])
        return torch.from_numpy(padded)


def tokenize(
    columns: Sequence[Sequence[str]], tokenizer: Any, *, max_length: int, labels: np.ndarray, row_ids: np.ndarray
) -> EncodedText:
    """Tokenise texts or pairs of texts, truncated to `max_length` tokens.

    Args:
        columns: one or two lists of texts, each of all rows.
        tokenizer: of the model that will read the rows.
        max_length: in tokens, special tokens included; a smaller limit of the tokenizer holds too.
        labels: (rows,) class numbers, int64, or regression targets, float32.
        row_ids: (rows,) int64.

    Raises:
        InputError: the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"the tokenizer ({type(tokenizer).__name__}) has no padding token, so rows cannot share a batch",
            advice="set `pad_token` in its tokenizer_config.json; the end-of-text token serves",
        )
    longest = min(max_length, tokenizer.model_max_length)
    found: dict[str, list[np.ndarray]] = {}
    lengths: list[int] = []
    for start in range(0, len(row_ids), CHUNK):
        texts = [beginnings(column[start : start + CHUNK], tokenizer, tokens=longest) for column in columns]
        encoded = tokenizer(*texts, truncation=True, max_length=longest, padding=False, return_attention_mask=True)
        lengths.extend(len(ids) for ids in encoded["input_ids"])
        for name, rows in encoded.items():
            found.setdefault(name, []).append(np.fromiter((t for row in rows for t in row), dtype=np.int32))
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    return EncodedText(
        {name: np.concatenate(parts) for name, parts in found.items()},
        np.asarray(lengths, dtype=np.int64),
        padding={name: padding.get(name, 0) for name in found},
        labels=labels,
        row_ids=row_ids,
    )


def encode_texts(texts: Texts, tokenizer: Any, *, max_length: int) -> EncodedText:
    """Tokenise raw rows, those of one text first, then the pairs; a row's id is its place in `texts`.

    Args:
        texts: rows of one or two texts, with their labels.
        tokenizer: of the model that will read the rows.
        max_length: in tokens; longer rows are truncated.
    """
    parts = []
    for size in sorted({len(row) for row in texts.rows}):
        places = np.asarray([place for place, row in enumerate(texts.rows) if len(row) == size], dtype=np.int64)
        columns = [[texts.rows[place][column] for place in places] for column in range(size)]
        labels = np.asarray(texts.labels, dtype=np.int64)[places]
        parts.append(tokenize(columns, tokenizer, max_length=max_length, labels=labels, row_ids=places))
    return EncodedText(
        {name: np.concatenate([part.flat[name] for part in parts]) for name in parts[0].flat},
        np.concatenate([part.lengths for part in parts]),
        padding=parts[0].padding,
        labels=np.concatenate([part.labels for part in parts]),
        row_ids=np.concatenate([part.row_ids for part in parts]),
    )


def processor_fingerprint(tokenizer: Any) -> str:
    """SHA-256 of what decides how a tokenizer encodes: its vocabulary and pipeline, and how it pads."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        pipeline = {"class": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
    else:
        pipeline = json.loads(backend.to_str())
        # A call sets these two on the backend; they say how it was last used, not what it is.
        pipeline.pop("truncation", None)
        pipeline.pop("padding", None)
    settings = [
        tokenizer.model_input_names,
        tokenizer.model_max_length,
        tokenizer.padding_side,
        tokenizer.truncation_side,
        tokenizer.pad_token_id,
        tokenizer.pad_token_type_id,
    ]
    return hashlib.sha256(json.dumps([pipeline, settings], sort_keys=True).encode()).hexdigest()


def text_fingerprint(texts: Texts) -> str:
    """SHA-256 of raw rows and their labels."""
    return hashlib.sha256(json.dumps([texts.rows, texts.labels]).encode()).hexdigest()
