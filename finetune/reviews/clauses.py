"""One clause: an opinion word said of an aspect, plainly or negated.

The rule of a clause: its sign is the sign of its opinion word; a negator (`not`, `never`, `hardly`, `far from`,
`anything but`, `by no means`, `nothing ... about`, `nobody would call`, ...) turns it round; words of degree (`very`,
`quite`, `utterly`) leave it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from finetune.reviews.domains import Aspect
from finetune.reviews.words import ANY, LEXICON, Lexicon, Part, Sign

__all__ = ["Draw", "clause", "noun_phrase", "opinion_of"]

T = TypeVar("T")

DEGREES = ("very", "really", "truly", "extremely", "absolutely", "quite", "so", "pretty", "rather")
ATTRIBUTIVE_DEGREES = ("very", "really", "truly", "quite", "particularly", "genuinely")

AFFIRMED = (
    "the {noun} {be} {adjective}",
    "the {noun} {be} {degree} {adjective}",
    "I found the {noun} {adjective}",
    "I found the {noun} {degree} {adjective}",
    "we thought the {noun} {was} {degree} {adjective}",
    "the {noun} turned out to be {adjective}",
    "the {noun} seemed {degree} {adjective} to us",
    "there {be_it} something {degree} {adjective} about the {noun}",
    "I {felt} the {noun}",
    "we really {felt} the {noun}",
    "the {noun} {affected} me",
    "the {noun} {affected} all of us",
    "the {noun} {be} {thing}",
    "I would call the {noun} {thing}",
)
AFFIRMED_ONE = (
    "it was {a_adjective} {noun}",
    "this is {a_degree} {adjective} {noun}",
    "we had {a_adjective} {noun}",
)
NEGATED = (
    "the {noun} {be} not {adjective}",
    "the {noun} {be} not {adjective} at all",
    "the {noun} {be} never {adjective}",
    "the {noun} {be} hardly {adjective}",
    "the {noun} {be} far from {adjective}",
    "the {noun} {be} anything but {adjective}",
    "the {noun} {be} by no means {adjective}",
    "I did not find the {noun} {adjective}",
    "we don't think the {noun} {was} {adjective}",
    "nobody would call the {noun} {adjective}",
    "I can't say that the {noun} {was} {adjective}",
    "there {be_it} nothing {adjective} about the {noun}",
    "I did not {feel} the {noun}",
    "we never {felt} the {noun}",
    "the {noun} did not {affect} me",
    "the {noun} never {affected} us",
    "the {noun} {be} not {thing}",
    "the {noun} {be} by no means {thing}",
)
NEGATED_ONE = (
    "it was not {a_adjective} {noun}",
    "this is hardly {a_adjective} {noun}",
    "it was far from {a_adjective} {noun}",
)


@dataclass
class Draw:
    """Random choices for one sentence; no opinion word is drawn twice."""

    random: Random
    part: Part
    used: set[str] = field(default_factory=set)

    def one(self, options: tuple[T, ...]) -> T:
        return self.random.choice(options)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def fresh(self, words: tuple[T, ...]) -> T:
        """One of `words` that this sentence does not have yet."""
        word = self.one(tuple(word for word in words if str(word) not in self.used))
        self.used.add(str(word))
        return word


class _Slots(dict[str, str]):
    """The slots of a template, filled when the template asks for them."""

    def __init__(self, draw: Draw, aspect: Aspect, words: Lexicon):
        super().__init__(noun=aspect.noun)
        self.draw, self.aspect, self.words = draw, aspect, words

    def __missing__(self, slot: str) -> str:
        return getattr(self, f"_{slot}")()

    def _adjective(self) -> str:
        return self.draw.fresh(_adjectives(self.draw, self.aspect, self.words))

    def _a_adjective(self) -> str:
        return with_article(self._adjective())

    def _degree(self) -> str:
        return self.draw.one(DEGREES)

    def _a_degree(self) -> str:
        return with_article(self.draw.one(ATTRIBUTIVE_DEGREES))

    def _was(self) -> str:
        return "were" if self.aspect.number == "many" else "was"

    def _be(self) -> str:
        return self.draw.one(("are", "were") if self.aspect.number == "many" else ("is", "was"))

    def _be_it(self) -> str:
        return self.draw.one(("is", "was"))

    def _feel(self) -> str:
        return self.draw.fresh(self.words.feelings)[0]

    def _felt(self) -> str:
        return self.draw.fresh(self.words.feelings)[1]

    def _affect(self) -> str:
        return self.draw.fresh(self.words.effects)[0]

    def _affected(self) -> str:
        return self.draw.fresh(self.words.effects)[1]

    def _thing(self) -> str:
        return self.draw.fresh(self.words.nouns)


def _adjectives(draw: Draw, aspect: Aspect, words: Lexicon) -> tuple[str, ...]:
    """Half of the time the adjectives of the aspect's own kind, else those that go with everything."""
    own = words.adjectives[aspect.kind]
    return own if draw.chance(0.5) else words.adjectives[ANY]


def with_article(phrase: str) -> str:
    """`phrase` with `a` or `an` before it."""
    vowel = phrase[0] in "aeiou" and not phrase.startswith(("use", "unique", "one"))
    return f"{'an' if vowel or phrase.startswith('honest') else 'a'} {phrase}"


def clause(draw: Draw, aspect: Aspect, sign: Sign, *, negated: bool) -> str:
    """A clause about `aspect` whose sign is `sign`; where it is negated, its opinion word has the other sign.

    Args:
        draw: of words, of one part.
        aspect: of the reviewed thing.
        sign: 1 positive, -1 negative.
        negated: whether the clause is negated.
    """
    words = LEXICON[draw.part, _opposite(sign) if negated else sign]
    templates = NEGATED if negated else AFFIRMED
    if aspect.number == "one":
        templates = (*templates, *(NEGATED_ONE if negated else AFFIRMED_ONE))
    return draw.one(templates).format_map(_Slots(draw, aspect, words))


def noun_phrase(draw: Draw, aspect: Aspect, sign: Sign) -> str:
    """`the dreadful soup`: an opinion of `sign` folded into a phrase.

    Args:
        draw: of words, of one part.
        aspect: of the reviewed thing.
        sign: 1 positive, -1 negative.
    """
    return "the {adjective} {noun}".format_map(_Slots(draw, aspect, LEXICON[draw.part, sign]))


def opinion_of(draw: Draw, aspect: Aspect, sign: Sign) -> str:
    """The bare adjective, for what others said or were expecting: `delicious`.

    Args:
        draw: of words, of one part.
        aspect: of the reviewed thing.
        sign: 1 positive, -1 negative.
    """
    return "{adjective}".format_map(_Slots(draw, aspect, LEXICON[draw.part, sign]))


def _opposite(sign: Sign) -> Sign:
    return -1 if sign == 1 else 1
