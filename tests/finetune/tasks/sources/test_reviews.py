"""The made reviews: reproducible, balanced, and of no use to a model that only counts words."""

from __future__ import annotations

import hashlib
from itertools import product

import pytest

from compress.core.errors import UnknownName
from finetune.reviews.sentences import PATTERNS
from finetune.reviews.words import LEXICON
from finetune.tasks.source import open_source
from finetune.tasks.sources.reviews import Reviews, sentences

SIGNS = (1, -1)
STEM = 5


@pytest.fixture(scope="module")
def train() -> list[dict]:
    return sentences(4000, part="train", seed=0)


@pytest.fixture(scope="module")
def evaluation() -> list[dict]:
    return sentences(1000, part="evaluation", seed=0)


def opinion_words(part: str) -> set[str]:
    return set().union(*(LEXICON[part, sign].words() for sign in SIGNS))


def test_the_same_seed_gives_the_same_rows_on_every_machine(train):
    digest = hashlib.sha256("\n".join(f"{row['label']} {row['text']}" for row in train).encode()).hexdigest()
    assert digest == "d41c9bee6f3575810fa4017636ba124fef30a3fa6ee0db05e832fc3ab5a03642"


def test_another_seed_gives_other_rows(train):
    other = sentences(4000, part="train", seed=1)
    assert len({row["text"] for row in train} & {row["text"] for row in other}) < 400


def test_fewer_rows_are_the_beginning_of_more_rows(train):
    assert sentences(33, part="train", seed=0) == train[:33]


def test_no_sentence_comes_twice_and_labels_are_balanced(train, evaluation):
    texts = [row["text"] for row in train + evaluation]
    assert len(set(texts)) == len(texts) == 5000
    assert sum(row["label"] for row in train) == 2000
    assert sum(row["label"] for row in evaluation) == 500


def test_sentences_are_short_english_sentences(train, evaluation):
    for row in train + evaluation:
        assert row["text"][0].isupper() and row["text"].endswith(".")
        assert "{" not in row["text"] and "  " not in row["text"]
        assert 3 <= len(row["text"].split()) <= 40


def test_the_parts_share_no_opinion_word_and_no_stem():
    train, evaluation = opinion_words("train"), opinion_words("evaluation")
    assert len(train) >= 200 and len(evaluation) >= 100
    shared = {(a, b) for a, b in product(train, evaluation) if a[:STEM] == b[:STEM]}
    assert not shared


def test_no_word_is_both_positive_and_negative():
    for part in ("train", "evaluation"):
        assert not LEXICON[part, 1].words() & LEXICON[part, -1].words()


def test_no_evaluation_opinion_word_stands_anywhere_in_training(train):
    seen = {word.strip(".,;").lower() for row in train for word in row["text"].split()}
    assert not seen & opinion_words("evaluation")


def test_words_outside_the_lexicon_are_as_common_under_both_labels(train):
    """Function words, aspects and patterns are drawn without a look at the label."""
    known = opinion_words("train")
    rows = sentences(20000, part="train", seed=3)
    for word in ("not", "but", "although", "hardly", "the", "design", "very", "despite", "nobody", "last"):
        assert word not in known
        held = [row["label"] for row in rows if word in row["text"].lower().replace(",", "").split()]
        assert len(held) > 100
        share = sum(held) / len(held)
        assert abs(share - 0.5) < 4 * 0.5 / len(held) ** 0.5, (word, share)


def test_the_main_claim_wins():
    """In every pattern of two clauses that disagree, the label is the sign of the clause that is not set aside."""
    endings = {"but in the end": 1, "however,": 1, "still,": 1}
    for row in sentences(3000, part="train", seed=5):
        for joint, place in endings.items():
            if f" {joint} " not in row["text"]:
                continue
            claim = f" {row['text'].split(f' {joint} ')[place].rstrip('.')} "
            positive = any(f" {word} " in claim for word in LEXICON["train", 1].words())
            negated = any(f" {cue} " in claim for cue in CUES) or "can't" in claim or "don't" in claim
            assert row["label"] == int(positive != negated), row


CUES = ("not", "never", "hardly", "far from", "anything but", "by no means", "nothing", "nobody")


def test_patterns_cover_what_the_rule_names():
    assert len(PATTERNS) >= 7
    text = " ".join(row["text"] for row in sentences(2000, part="evaluation", seed=2)).lower()
    for cue in (*CUES, "but", "yet", "however", "although", "even though", "while", "despite", "because", "expected"):
        assert f" {cue}" in text, cue


def test_the_source_has_two_splits_and_reads_from_a_recipe():
    source = open_source({"reviews": {"train": 30, "evaluation": 10, "seed": 4}})
    assert source == Reviews(train=30, evaluation=10, seed=4)
    assert source.splits() == ("train", "test")
    assert source.rows("train")[:]["text"] == [row["text"] for row in sentences(30, part="train", seed=4)]
    assert source.rows("test").num_rows == 10
    assert Reviews().recipe_form() == "reviews"


def test_an_unknown_split_is_named():
    with pytest.raises(UnknownName, match="unknown split 'tst'"):
        Reviews().rows("tst")


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bag_of_words_guesses(seed):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    train, evaluation = (sentences(n, part=part, seed=seed) for n, part in ((4000, "train"), (1000, "evaluation")))
    count = CountVectorizer(ngram_range=(1, 2))
    seen = count.fit_transform([row["text"] for row in train])
    unseen = count.transform([row["text"] for row in evaluation])
    labels, answers = [row["label"] for row in train], [row["label"] for row in evaluation]
    for model in (LogisticRegression(max_iter=2000), MultinomialNB()):
        assert model.fit(seen, labels).score(seen, labels) > 0.85
        assert model.score(unseen, answers) <= 0.65
