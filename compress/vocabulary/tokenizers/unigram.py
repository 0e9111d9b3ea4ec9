"""Unigram: of all ways to cut a text the likeliest."""

from __future__ import annotations

from typing import Any

from compress.vocabulary.model import TokenizerModel

__all__ = ["Unigram"]


class Unigram(TokenizerModel):
    """The likeliest way of all is the likeliest of fewer ways, so a text of kept pieces is cut as before.

    An unknown character costs a fixed amount more than the least likely piece, so that piece stays.  Kudo 2018, arXiv
    1804.10959, section 3.2.
    """

    kind = "Unigram"

    def read(self) -> dict[int, str]:
        return {number: piece for number, (piece, _) in enumerate(self.rules["vocab"])}

    def essential(self) -> set[int]:
        scores = [score for _, score in self.rules["vocab"]]
        unknown = self.rules.get("unk_id")
        return super().essential() | {scores.index(min(scores))} | ({unknown} if unknown is not None else set())

    def trimmed(self, new: dict[int, int]) -> dict[str, Any]:
        unknown = self.rules.get("unk_id")
        vocabulary = [entry for number, entry in enumerate(self.rules["vocab"]) if number in new]
        return {**self.rules, "vocab": vocabulary, "unk_id": None if unknown is None else new[unknown]}
