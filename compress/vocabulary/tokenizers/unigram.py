"""Unigram language model: the most probable segmentation of a text."""

from __future__ import annotations

from typing import Any

from compress.vocabulary.tokenizers.algorithm import TokenizerModel

__all__ = ["Unigram"]


class Unigram(TokenizerModel):
    """Unigram language model: the most probable segmentation stays the most probable where its tokens stay.

    The score of an unknown character is a fixed amount below that of the least probable token, so that token stays.

    References:
        Kudo 2018, arXiv 1804.10959, section 3.2.
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
