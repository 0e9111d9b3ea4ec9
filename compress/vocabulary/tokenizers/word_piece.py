"""WordPiece: at each place of a word the longest piece that fits."""

from __future__ import annotations

from compress.vocabulary.model import TokenizerModel

__all__ = ["WordPiece"]


class WordPiece(TokenizerModel):
    """Of fewer pieces the longest that fits is the same wherever it stayed, so nothing else is needed.

    A word that the whole vocabulary cannot spell stays unknown where every character of a piece is a piece itself, as
    in the vocabularies of BERT; else the smaller vocabulary may spell it.
    """

    kind = "WordPiece"

    def letters(self, piece: str) -> str:
        return piece.removeprefix(self.rules.get("continuing_subword_prefix") or "")
