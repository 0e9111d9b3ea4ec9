"""Tokenizer algorithms: which tokens must stay so that a text whose tokens all stayed is segmented as before."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from compress.core.choice import import_all
from compress.core.errors import Refusal

__all__ = ["TokenizerModel", "tokenizer_model"]

BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


class TokenizerModel:
    """The `model` part of a `tokenizer.json`; one subclass for each algorithm, in a file of its own.

    Args:
        rules: the parsed `model` part; never written to.
    """

    kind: ClassVar[str] = ""
    """Its `type` in the file."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self.rules = rules
        self.pieces: dict[int, str] = self.read()

    def read(self) -> dict[int, str]:
        """Id -> token."""
        return {number: piece for piece, number in self.rules["vocab"].items()}

    def letters(self, piece: str) -> str:
        """The token without its marker (`##`, `</w>`) of the position in a word."""
        return piece

    def essential(self) -> set[int]:
        """Ids that always stay: single characters, bytes, the unknown token."""
        unknown = self.rules.get("unk_token")
        return {n for n, piece in self.pieces.items() if self._basic(piece) or piece == unknown}

    def closed(self, kept: set[int]) -> set[int]:
        """`kept` and the ids that the algorithm needs to produce them."""
        return set(kept)

    def trimmed(self, new: dict[int, int]) -> dict[str, Any]:
        """The `model` part with the tokens of `new` (old id -> new id) alone."""
        vocabulary = {self.pieces[old]: number for old, number in new.items() if old in self.pieces}
        return {**self.rules, "vocab": vocabulary}

    def _basic(self, piece: str) -> bool:
        return len(self.letters(piece)) <= 1 or BYTE.fullmatch(piece) is not None


def tokenizer_model(rules: dict[str, Any]) -> TokenizerModel:
    """The algorithm of a tokenizer, from the `model` part of its `tokenizer.json`.

    Raises:
        Refusal: its algorithm is none that can be trimmed.
    """
    import_all("compress.vocabulary.tokenizers")
    known = {member.kind: member for member in TokenizerModel.__subclasses__()}
    kind = rules.get("type")
    if kind not in known:
        raise Refusal(
            f"trim_vocabulary cannot rewrite a tokenizer of the kind {kind!r}",
            advice=f"it rewrites {', '.join(sorted(known))}",
        )
    return known[kind](rules)
