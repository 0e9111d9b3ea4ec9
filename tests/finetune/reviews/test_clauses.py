"""Clauses of the reviews' grammar: their sign, their articles, and the words that there are for every aspect."""

from __future__ import annotations

from random import Random

import pytest

from finetune.reviews.clauses import Draw, clause, with_article
from finetune.reviews.domains import DOMAINS, Aspect
from finetune.reviews.words import ANY, LEXICON


def test_every_kind_of_aspect_has_adjectives_of_both_signs_in_both_parts():
    kinds = {aspect.kind for domain in DOMAINS.values() for aspect in domain.aspects}
    for words in LEXICON.values():
        assert set(words.adjectives) == kinds | {ANY}
        assert all(len(adjectives) >= 4 for adjectives in words.adjectives.values())


@pytest.mark.parametrize("sign", (1, -1))
@pytest.mark.parametrize("negated", [False, True])
def test_a_negated_clause_holds_a_word_of_the_other_sign(sign, negated):
    draw = Draw(Random(0), "train")
    aspect = Aspect("soup", "food", "one")
    words = LEXICON["train", -sign if negated else sign].words()
    for _ in range(200):
        draw.used.clear()
        text = f" {clause(draw, aspect, sign, negated=negated)} "
        assert any(f" {word} " in text for word in words), text


def test_articles():
    assert with_article("awful") == "an awful"
    assert with_article("useful") == "a useful"
    assert with_article("rude") == "a rude"
    assert with_article("honest") == "an honest"
