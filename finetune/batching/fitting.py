"""Whether encoded rows fit a model: every id, position and segment has its embedding, and the head finds its token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from compress.core.errors import InputError, shown
from compress.core.families.family import base_model, has
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import padding_id, position_limit, word_count
from compress.core.model.evaluation import accepted
from finetune.tasks.encoding import EncodedText
from finetune.tasks.task import Splits, Task

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["check_encoded", "check_rows"]

PARTS = ("train", "select", "evaluation")


def check_rows(bundle: Bundle, task: Task, splits: Splits) -> None:
    """Raise `InputError`, with the row and its column, where the model cannot read the task's rows.

    Args:
        bundle: the model, on any device, with its tokenizer; images are not asked.
        task: encodes the rows.
        splits: its rows.
    """
    if bundle.processor is None or bundle.family.word_embedding is None:
        return
    ends = None
    for part in PARTS:
        rows: Dataset = splits.part(part)
        encoded = task.encoded(rows, bundle.processor)
        if isinstance(encoded, EncodedText):
            ends = check_encoded(encoded, bundle, place=task.place, ends=ends)


def check_encoded(
    encoded: EncodedText, bundle: Bundle, *, place: Callable[[int], str], ends: int | None = None
) -> int | None:
    """Raise `InputError` where the model cannot read the rows; how many end tokens a row has, for a head that asks.

    Args:
        encoded: the rows.
        bundle: the model.
        place: row id -> where the row stands, with its columns.
        ends: end tokens of the rows that stand in one batch with these; what most of these have unless given.
    """
    if not len(encoded):
        return ends
    rows = _Rows(encoded, bundle, place)
    rows.check()
    return rows.check_head(ends)


@dataclass(frozen=True)
class _Rows:
    encoded: EncodedText
    bundle: Bundle
    place: Callable[[int], str]

    @property
    def ids(self) -> np.ndarray:
        return self.encoded.flat["input_ids"]

    def check(self) -> None:
        """Tokens, token ids, positions and segments."""
        family, model = self.bundle.family, self.bundle.model
        padding = self.encoded.padding["input_ids"]
        if family.positions_from_padding and padding != padding_id(model.config, family):
            raise InputError(
                f"the tokenizer pads with the id {padding}, and the model counts positions from the padding id "
                f"{padding_id(model.config, family)}: they do not belong together",
                advice="put the tokenizer beside the model that it was trained with",
            )
        empty = np.flatnonzero(self.encoded.lengths == 0)
        if len(empty):
            raise self._error(int(empty[0]), "the row has no tokens", advice="remove the row, or write a text")
        for name, count, what in self._tables():
            wrong = np.flatnonzero(self.encoded.flat[name] >= count)
            if len(wrong):
                raise self._too_large(name, int(wrong[0]), count, what)
            filler = self.encoded.padding[name]
            if not 0 <= filler < count:
                raise InputError(
                    f"the tokenizer pads {name!r} with {filler}, and the model has {count} {what}",
                    advice="put the model's own tokenizer beside it, or name one of its tokens as `pad_token`",
                )
        limit, longest = position_limit(model.config, family), int(self.encoded.lengths.argmax())
        if limit is not None and self.encoded.lengths[longest] > limit:
            raise self._error(
                longest,
                f"the row has {self.encoded.lengths[longest]} tokens, and the model has {limit} positions",
                advice=f"set `max_length: {limit}`, or less: longer rows are cut there",
            )

    def _tables(self) -> Iterator[tuple[str, int, str]]:
        """(input, rows of its embedding, what they are)."""
        family, model = self.bundle.family, self.bundle.model
        yield "input_ids", word_count(model, family), "token embeddings"
        path, base = family.segment_embedding, base_model(model)
        given = "token_type_ids" in self.encoded.flat and "token_type_ids" in accepted(model)
        if given and path and has(base, path):
            yield "token_type_ids", int(attrgetter(path)(base).weight.shape[0]), "segment embeddings"

    def _too_large(self, name: str, token: int, count: int, what: str) -> InputError:
        row, tokenizer = self._row_of(token), self.bundle.processor
        number, word = int(self.encoded.flat[name][token]), tokenizer.convert_ids_to_tokens(int(self.ids[token]))
        if name == "input_ids":
            advice = (
                "the tokenizer has tokens that the model was not trained with: put its own tokenizer beside it, "
                "or call model.resize_token_embeddings and fine-tune"
            )
        else:
            advice = "leave 'token_type_ids' out of `model_input_names` in tokenizer_config.json, or give one text"
        kind = "token" if name == "input_ids" else "segment"
        return self._error(row, f"{shown(word)} has the {kind} id {number}, and the model has {count} {what}", advice)

    def check_head(self, ends: int | None) -> int | None:
        """The token that the head looks for."""
        wanted, config = self.bundle.family.head_token, self.bundle.config
        if wanted == "last":
            empty = np.flatnonzero(self._count(self.ids != config.pad_token_id) == 0)
            if len(empty):
                raise self._error(int(empty[0]), "the row holds nothing but padding", advice="remove the row")
        if wanted != "end":
            return ends
        found = self._count(self.ids == config.eos_token_id)
        ends = int(np.bincount(found).argmax()) if ends is None else ends
        wrong = np.flatnonzero((found != ends) | (found == 0))
        if len(wrong):
            raise self._error(
                int(wrong[0]),
                f"the row has {found[wrong[0]]} end tokens (id {config.eos_token_id})"
                + (f", and others have {ends}: a batch must have equally many in each row, of which " if ends else ": ")
                + "the head reads the last",
                advice=(
                    "remove the end token from the text"
                    if found[wrong[0]]
                    else "let the tokenizer end each text with the eos_token_id of config.json"
                ),
            )
        return ends

    def _count(self, tokens: np.ndarray) -> np.ndarray:
        """(rows,): how many of `tokens` each row has; no row is empty."""
        return np.add.reduceat(tokens.astype(np.int64), self.encoded.offsets[:-1])

    def _row_of(self, token: int) -> int:
        return int(np.searchsorted(self.encoded.offsets, token, side="right")) - 1

    def _error(self, row: int, what: str, advice: str) -> InputError:
        return InputError(what, where=self.place(int(self.encoded.row_ids[row])), advice=advice)
