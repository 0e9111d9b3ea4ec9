"""Trimming a fast tokenizer: which tokens can be removed, and the same tokenizer without them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from compress.core.checkpoint.open import quiet
from compress.core.errors import InputError, Refusal, StageFailed
from compress.vocabulary.tokenizers.algorithm import TokenizerModel, tokenizer_model

__all__ = ["Vocabulary", "new_ids", "refusal", "trimmed_tokenizer"]

BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""Files of a saved tokenizer that name no single tokens."""
BY_ID = ("added_tokens_decoder",)
"""Fields of tokenizer_config.json that repeat the ids of `tokenizer.json`."""


def refusal(tokenizer: Any) -> str | None:
    """Why the vocabulary of this tokenizer cannot be trimmed, or None."""
    if tokenizer is None:
        return "the model has no tokenizer beside it"
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return (
            f"its tokenizer ({type(tokenizer).__name__}) is a slow one, without the rules of a tokenizer.json; "
            "convert it to a fast one, and save that beside the model"
        )
    try:
        _ = Vocabulary(tokenizer).model
    except Refusal as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Vocabulary:
    """Vocabulary of a fast tokenizer, read from its `tokenizer.json`."""

    tokenizer: Any

    @cached_property
    def rules(self) -> dict[str, Any]:
        """Its `tokenizer.json`, without the padding and truncation of the last call."""
        found = json.loads(self.tokenizer.backend_tokenizer.to_str())
        return {**found, "padding": None, "truncation": None}

    @cached_property
    def model(self) -> TokenizerModel:
        return tokenizer_model(self.rules["model"])

    @cached_property
    def added(self) -> frozenset[int]:
        """Ids of added tokens, which the algorithm does not split: the special ones, and others added by hand."""
        return frozenset(token["id"] for token in self.rules["added_tokens"])

    @cached_property
    def ids(self) -> frozenset[int]:
        return frozenset(self.model.pieces) | self.added

    @cached_property
    def essential(self) -> frozenset[int]:
        """Ids that always stay: special and added tokens, single characters, bytes."""
        named = {number for number in self.tokenizer.all_special_ids if number is not None}
        return self.added | frozenset(self.model.essential()) | (named & self.ids)

    def closed(self, kept: Iterable[int]) -> set[int]:
        """The ids that stay with `kept`: those that always stay, and the ancestors of merged tokens."""
        return self.model.closed(set(kept) & self.ids | self.essential)

    def check(self, kept: Iterable[int]) -> None:
        """Raise `InputError` where a vocabulary of `kept` alone would lose tokens that always stay."""
        lost = sorted(self.essential - set(kept))
        if lost:
            names = [self.tokenizer.convert_ids_to_tokens(number) for number in lost[:4]]
            raise InputError(
                f"the vocabulary would lose {len(lost)} special tokens or single characters",
                given=names,
                advice="keep them: without them texts cannot be encoded as before",
            )


def new_ids(kept: Iterable[int]) -> dict[int, int]:
    """Old id -> new id: the order stays.

    Example:
        >>> new_ids([0, 3, 7])
        {0: 0, 3: 1, 7: 2}
    """
    return {old: number for number, old in enumerate(sorted(kept))}


def trimmed_tokenizer(tokenizer: Any, kept: Iterable[int]) -> Any:
    """A tokenizer of the same class with the tokens `kept` alone, under new ids; the given one stays as it is.

    Args:
        tokenizer: a fast one.
        kept: old ids; those without a token (rows that only the model has) count as ids too.

    Raises:
        InputError: special tokens or single characters would be lost.
        StageFailed: transformers reads the rewritten file in another way than it was written.
    """
    vocabulary = Vocabulary(tokenizer)
    vocabulary.check(kept)
    new = new_ids(kept)
    rules = {
        **vocabulary.rules,
        "added_tokens": [{**token, "id": new[token["id"]]} for token in vocabulary.rules["added_tokens"]],
        "post_processor": _renumbered(vocabulary.rules["post_processor"], new),
        "model": vocabulary.model.trimmed(new),
    }
    found = _reopened(tokenizer, rules)
    expected = {piece: new[old] for piece, old in tokenizer.get_vocab().items() if old in new}
    if found.get_vocab() != expected:
        odd = sorted(set(found.get_vocab().items()) ^ set(expected.items()))
        raise StageFailed(f"{type(tokenizer).__name__} does not read its rewritten vocabulary back", given=odd[:4])
    return found


def _renumbered(part: Any, new: dict[int, int]) -> Any:
    """A post-processor with new ids: `ids` of a template, and the [token, id] pairs `sep` and `cls`."""
    if isinstance(part, list):
        return [_renumbered(each, new) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _renumbered(value, new) for key, value in part.items()}
    if isinstance(found.get("ids"), list):
        found["ids"] = [new[number] for number in found["ids"]]
    for key in ("sep", "cls"):
        if key in found:
            token, number = found[key]
            found[key] = [token, new[number]]
    return found


def _reopened(tokenizer: Any, rules: dict[str, Any]) -> Any:
    """The tokenizer as transformers opens it with other rules: saved, rewritten and opened again."""
    with tempfile.TemporaryDirectory() as name, quiet():
        directory = Path(name)
        tokenizer.save_pretrained(directory)
        for file in directory.iterdir():
            if file.name not in BESIDE:
                file.unlink()
        (directory / "tokenizer.json").write_text(json.dumps(rules, ensure_ascii=False), "utf-8")
        config = directory / BESIDE[0]
        settings = json.loads(config.read_text("utf-8"))
        config.write_text(json.dumps({k: v for k, v in settings.items() if k not in BY_ID}), "utf-8")
        found = type(tokenizer).from_pretrained(directory)
    found.name_or_path = tokenizer.name_or_path
    return found
