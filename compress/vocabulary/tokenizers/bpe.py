"""Byte pair encoding: merges, applied in the order in which they were learned."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from compress.vocabulary.tokenizers.algorithm import TokenizerModel

__all__ = ["BPE"]


class BPE(TokenizerModel):
    """Byte pair encoding: a token needs its ancestors, the tokens that the merges make on the way to it.

    A merge that no kept token needs may be removed. The others keep their order, so that of the merges that apply to a
    text of kept tokens, the first is the same as before.

    References:
        Sennrich et al. 2016, arXiv 1508.07909, algorithm 1.
    """

    kind = "BPE"

    def __init__(self, rules: dict[str, Any]) -> None:
        super().__init__(rules)
        self.prefix: str = rules.get("continuing_subword_prefix") or ""
        self.suffix: str = rules.get("end_of_word_suffix") or ""
        self.merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in rules["merges"]]
        self.ranks: dict[tuple[str, ...], int] = {}
        for rank, pair in enumerate(self.merges):
            self.ranks.setdefault(pair, rank)

    def letters(self, piece: str) -> str:
        bare = piece.removesuffix(self.rules.get("end_of_word_suffix") or "")
        return bare.removeprefix(self.rules.get("continuing_subword_prefix") or "")

    def closed(self, kept: set[int]) -> set[int]:
        ids = {piece: number for number, piece in self.pieces.items()}
        ancestors = {made for number in kept if number in self.pieces for made in self.made(self.pieces[number])}
        return set(kept) | {ids[piece] for piece in ancestors if piece in ids}

    def trimmed(self, new: dict[int, int]) -> dict[str, Any]:
        found = super().trimmed(new)
        there = found["vocab"]
        found["merges"] = [list(pair) for pair in self.merges if {*pair, self._join(*pair)} <= there.keys()]
        return found

    def made(self, piece: str) -> Iterator[str]:
        """Every token that the merges make on the way to `piece`."""
        symbols = self._symbols(piece)
        while len(symbols) > 1:
            ranked = [(self.ranks.get(pair, len(self.merges)), place) for place, pair in enumerate(pairwise(symbols))]
            rank, place = min(ranked)
            if rank == len(self.merges):
                return
            symbols[place : place + 2] = [self._join(*symbols[place : place + 2])]
            yield symbols[place]

    def _symbols(self, piece: str) -> list[str]:
        first = self.prefix if self.prefix and piece.startswith(self.prefix) else ""
        letters = list(self.letters(piece))
        symbols = [(self.prefix if number else first) + letter for number, letter in enumerate(letters)]
        if symbols and self.suffix and piece.endswith(self.suffix):
            symbols[-1] += self.suffix
        return symbols

    def _join(self, left: str, right: str) -> str:
        return left + right[len(self.prefix) :]
