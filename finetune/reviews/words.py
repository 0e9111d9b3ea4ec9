"""The opinion words of the made reviews, by part, sign and kind of thing they are said of.

No word stands in both parts, nor do two words of one stem (`polite` and `impolite` are both of the training part), so
what training shows says nothing about a word of the evaluation part: only knowledge of English does. Every word has one
plain meaning; words whose sign depends on the context (`cold`, `cheap`, `sharp`) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ANY", "LEXICON", "Lexicon", "Part", "Sign"]

Part = Literal["train", "evaluation"]
Sign = Literal[1, -1]
ANY = "any"
"""The kind of the adjectives that can be said of everything."""


@dataclass(frozen=True)
class Lexicon:
    """The words of one part and one sign.

    Attributes:
        adjectives: kind of aspect -> adjectives; `ANY` goes with every kind.
        feelings: what the writer does to an aspect, (base form, past): `I loved the soup`.
        effects: what an aspect does to the writer, (base form, past): `the soup impressed us`.
        nouns: what an aspect is, with its article: `the soup was a triumph`.
    """

    adjectives: dict[str, tuple[str, ...]]
    feelings: tuple[tuple[str, str], ...]
    effects: tuple[tuple[str, str], ...]
    nouns: tuple[str, ...]

    def words(self) -> set[str]:
        """Every opinion word, verbs in both forms, nouns without their article."""
        verbs = {form for pair in (*self.feelings, *self.effects) for form in pair}
        nouns = {noun.split(maxsplit=1)[1] for noun in self.nouns}
        return {word for words in self.adjectives.values() for word in words} | verbs | nouns


def _verbs(text: str) -> tuple[tuple[str, str], ...]:
    """Regular verbs, each in its base form and past; `adore` -> (`adore`, `adored`)."""
    pairs = (
        verb.split("/") if "/" in verb else (verb, verb + ("d" if verb.endswith("e") else "ed"))
        for verb in text.split()
    )
    return tuple((base, past) for base, past in pairs)


def _nouns(text: str) -> tuple[str, ...]:
    return tuple(" ".join(noun.split()) for noun in text.split(","))


def _lexicon(*, feelings: str, effects: str, nouns: str, **adjectives: str) -> Lexicon:
    kinds = {kind: tuple(text.split()) for kind, text in adjectives.items()}
    return Lexicon(kinds, _verbs(feelings), _verbs(effects), _nouns(nouns))


LEXICON: dict[tuple[Part, Sign], Lexicon] = {
    ("train", 1): _lexicon(
        any="""excellent wonderful amazing great superb perfect outstanding lovely impressive pleasant fabulous
            enjoyable exceptional beautiful awesome satisfying splendid charming remarkable magnificent
            memorable flawless incredible stellar commendable""",
        person="helpful polite attentive professional kind cheerful competent thoughtful gracious diligent tactful",
        food="tasty fresh juicy flavorful scrumptious appetizing tender nourishing",
        story="""gripping funny clever captivating moving original witty engaging inspiring heartwarming
            insightful riveting""",
        place="clean comfortable spacious quiet cozy tidy stylish relaxing spotless peaceful elegant",
        thing="reliable sturdy practical efficient convenient useful responsive versatile powerful smooth handy",
        feelings="love enjoy like appreciate recommend praise value cherish",
        effects="impress please amaze charm satisfy/satisfied inspire thrill cheer",
        nouns="""a masterpiece, a success, a joy, a pleasure, a treat, a gem, a highlight, a blessing, a winner,
            a bargain""",
    ),
    ("train", -1): _lexicon(
        any="""terrible awful bad disappointing poor unpleasant mediocre annoying pathetic dismal unacceptable
            useless imperfect atrocious lousy miserable ridiculous unsatisfying abysmal shameful unremarkable
            inferior frustrating embarrassing repulsive""",
        person="""rude unhelpful impolite inattentive unprofessional unkind incompetent thoughtless arrogant
            lazy hostile""",
        food="bland tasteless stale soggy greasy overcooked unappetizing rubbery",
        story="""boring predictable unfunny shallow pretentious uninspiring tedious pointless confusing lifeless
            clumsy silly""",
        place="dirty uncomfortable noisy cramped smelly shabby filthy untidy stuffy dingy gloomy",
        thing="""unreliable flimsy impractical inefficient inconvenient faulty fragile slow unresponsive clunky
            overpriced""",
        feelings="hate dislike regret despise resent criticize loathe avoid",
        effects="disappoint annoy bore frustrate irritate embarrass displease bother",
        nouns="a failure, a mess, a waste, a nightmare, a chore, a mistake, a bore, a joke, a letdown, a burden",
    ),
    ("evaluation", 1): _lexicon(
        any="""fantastic brilliant good marvelous delightful admirable gorgeous spectacular stunning phenomenal
            sublime fine glorious tremendous""",
        person="friendly courteous welcoming generous considerate trustworthy hospitable",
        food="delicious yummy mouthwatering delectable succulent",
        story="entertaining hilarious fascinating exciting sensational enthralling absorbing touching",
        place="luxurious inviting immaculate picturesque tranquil",
        thing="durable dependable robust intuitive ingenious",
        feelings="adore admire treasure applaud",
        effects="delight fascinate enchant excite",
        nouns="a triumph, a delight, a hit, a marvel, a miracle, a sensation",
    ),
    ("evaluation", -1): _lexicon(
        any="""horrible horrendous dreadful disgraceful appalling ghastly hideous hopeless disastrous deplorable
            worthless nasty rotten unbearable ugly horrid""",
        person="unfriendly disrespectful dishonest careless aggressive insulting abusive",
        food="disgusting inedible rancid revolting nauseating",
        story="dull stupid tiresome dreary monotonous incoherent senseless forgettable",
        place="squalid grubby dilapidated grimy moldy",
        thing="defective obsolete broken sluggish laggy",
        feelings="detest deplore condemn abhor",
        effects="disgust anger offend upset/upset",
        nouns="a disaster, a disgrace, a flop, a fiasco, a torment, an insult",
    ),
}
