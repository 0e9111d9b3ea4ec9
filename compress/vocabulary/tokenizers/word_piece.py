"""WordPiece: greedy segmentation, longest match first."""

from __future__ import annotations

from compress.vocabulary.tokenizers.algorithm import TokenizerModel

__all__ = ["WordPiece"]


class WordPiece(TokenizerModel):
    """WordPiece: the longest match is the same in a smaller vocabulary wherever it stayed, so nothing else is needed.

    A word that the whole vocabulary cannot segment stays unknown where every character of a token is a token itself, as
    in the vocabularies of BERT; else the smaller vocabulary may segment it.
    """

    kind = "WordPiece"

    def letters(self, piece: str) -> str:
        return piece.removeprefix(self.rules.get("continuing_subword_prefix") or "")
