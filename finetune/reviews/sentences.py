"""Whole sentences: clauses joined so that one rule tells the label.

The label rule, from the inside out:

1. A clause has the sign of its opinion word, turned round by a negator, untouched by words of degree (`clauses`).
2. Clauses joined by `and`, `because`, `since` or a semicolon agree, and the sentence has their sign.
3. Where clauses disagree, the *main claim* wins: what follows `but`, `yet`, `however`, `still`; what is not inside
   `although`, `even though`, `while` or `despite`.
4. What the writer *expected*, or what *others said*, loses against what the writer found.

The label is 1 where the sentence's sign is positive, else 0. Which pattern a sentence has, which clause is negated and
what it speaks of is drawn without a look at the label, so every word but the opinion words is as common under both.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from finetune.reviews.clauses import Draw, clause, noun_phrase, opinion_of
from finetune.reviews.domains import DOMAINS, Aspect
from finetune.reviews.words import Part, Sign

__all__ = ["sentence"]

NEGATION = 0.3
"""The share of clauses with a negator."""
OPENING = 0.2
"""The share of sentences that begin with a remark about when or where."""

Aspects = tuple[Aspect, Aspect]
Pattern = Callable[[Draw, Aspects, Sign], str]

AND = ("{a} and {b}", "{a}, and {b}", "{a}; {b}", "{a}; what is more, {b}")
BECAUSE = ("{a} because {b}", "{a}, since {b}", "because {b}, {a}")
BUT = (
    "{lost}, but {won}",
    "{lost}, yet {won}",
    "{lost}; however, {won}",
    "{lost}; still, {won}",
    "{lost}, but in the end {won}",
)
ALTHOUGH = (
    "although {lost}, {won}",
    "even though {lost}, {won}",
    "while {lost}, {won}",
    "{won}, although {lost}",
    "{won}, even though {lost}",
)
DESPITE = ("despite {lost}, {won}", "{won} despite {lost}", "{won} in spite of {lost}")
EXPECTED = (
    "I expected the {noun} to be {opinion}, but {won}",
    "I was told that the {noun} would be {opinion}, but {won}",
    "my friends called the {noun} {opinion}, but {won}",
    "other reviews said the {noun} {was} {opinion}, yet {won}",
    "{won}, although the critics found the {noun} {opinion}",
)


def _some_clause(draw: Draw, aspect: Aspect, sign: Sign) -> str:
    return clause(draw, aspect, sign, negated=draw.chance(NEGATION))


def _single(draw: Draw, aspects: Aspects, sign: Sign) -> str:
    return _some_clause(draw, aspects[0], sign)


def _and(draw: Draw, aspects: Aspects, sign: Sign) -> str:
    first, second = (_some_clause(draw, aspect, sign) for aspect in aspects)
    return draw.one(AND).format(a=first, b=second)


def _because(draw: Draw, aspects: Aspects, sign: Sign) -> str:
    """The first clause has no negator: `not good because ...` could be read as denying the reason."""
    first = clause(draw, aspects[0], sign, negated=False)
    return draw.one(BECAUSE).format(a=first, b=_some_clause(draw, aspects[1], sign))


def _disagree(templates: tuple[str, ...]) -> Pattern:
    def pattern(draw: Draw, aspects: Aspects, sign: Sign) -> str:
        lost, won = _some_clause(draw, aspects[0], _opposite(sign)), _some_clause(draw, aspects[1], sign)
        return draw.one(templates).format(lost=lost, won=won)

    return pattern


def _despite(draw: Draw, aspects: Aspects, sign: Sign) -> str:
    lost = noun_phrase(draw, aspects[0], _opposite(sign))
    return draw.one(DESPITE).format(lost=lost, won=_some_clause(draw, aspects[1], sign))


def _expected(draw: Draw, aspects: Aspects, sign: Sign) -> str:
    aspect = aspects[0]
    was = "were" if aspect.number == "many" else "was"
    opinion, won = opinion_of(draw, aspect, _opposite(sign)), _some_clause(draw, aspect, sign)
    return draw.one(EXPECTED).format(noun=aspect.noun, was=was, opinion=opinion, won=won)


PATTERNS: dict[Pattern, int] = {
    _single: 6,
    _and: 3,
    _because: 2,
    _disagree(BUT): 4,
    _disagree(ALTHOUGH): 3,
    _despite: 2,
    _expected: 2,
}
"""Pattern -> how often it is drawn, in parts of the whole."""


def sentence(random: Random, *, part: Part, label: int) -> str:
    """Review sentence of one part and label.

    Args:
        random: generator.
        part: which has opinion words of its own.
        label: 1 positive, 0 negative.
    """
    draw = Draw(random, part)
    domain = draw.one(tuple(DOMAINS.values()))
    first, second = random.sample(domain.aspects, 2)
    pattern = random.choices(tuple(PATTERNS), weights=tuple(PATTERNS.values()))[0]
    text = pattern(draw, (first, second), 1 if label == 1 else -1)
    if draw.chance(OPENING):
        text = f"{draw.one(domain.openings)}, {text}"
    return text[0].upper() + text[1:] + "."


def _opposite(sign: Sign) -> Sign:
    return -1 if sign == 1 else 1
