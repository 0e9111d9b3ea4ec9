"""Whatever text is covered by the kept pieces is cut into the same pieces; the rewritten tokenizer opens again."""

from __future__ import annotations

import random

import pytest

from compress.core.errors import InputError
from compress.vocabulary.selection import counted, first_pieces, top, used
from compress.vocabulary.tokenizers.algorithm import tokenizer_model
from compress.vocabulary.tokenizers.trimming import Vocabulary, new_ids, refusal, trimmed_tokenizer
from tests.compress.vocabulary.tokenizers import KINDS, build, random_texts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_covered_texts_are_cut_into_the_same_pieces(kind, seed, tmp_path):
    whole = build(kind, tmp_path / "whole")
    vocabulary = Vocabulary(whole)
    draw, texts = random.Random(seed), random_texts(300, seed)
    used = {number for text in draw.sample(texts, draw.randint(3, 9)) for number in whole(text)["input_ids"]}
    kept = vocabulary.closed(used)
    cut = trimmed_tokenizer(whole, kept)
    cut.save_pretrained(tmp_path / "cut")
    reopened = type(whole).from_pretrained(tmp_path / "cut")
    new, seen = new_ids(kept), 0
    for text in texts:
        ids = whole(text)["input_ids"]
        covered = set(ids) <= kept
        for tokenizer in (cut, reopened):
            again = tokenizer(text)["input_ids"]
            assert (again == [new[n] for n in ids]) if covered else (max(again) < len(kept))
        seen += covered
    assert seen >= 3
    pair = cut("a film", "the plot")
    assert cut.convert_ids_to_tokens(pair["input_ids"])[0] == "[CLS]"
    assert {n: p for p, n in cut.get_vocab().items()} == {new[n]: p for p, n in whole.get_vocab().items() if n in kept}


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_can_still_be_encoded(kind):
    whole = build(kind)
    vocabulary = Vocabulary(whole)
    cut = trimmed_tokenizer(whole, vocabulary.closed(()))
    for text in random_texts(100, seed=7):
        unknown = whole(text)["input_ids"].count(whole.unk_token_id)
        assert cut(text)["input_ids"].count(cut.unk_token_id) <= unknown
    assert len(cut) < len(whole) / 1.5 or kind == "byte_bpe"


def test_merges_bring_their_ancestors():
    rules = {
        "type": "BPE",
        "unk_token": None,
        "vocab": {p: n for n, p in enumerate(["a", "b", "c", "ab", "bc", "abc", "cc", "abcc"])},
        "merges": [["a", "b"], ["b", "c"], ["c", "c"], ["ab", "c"], ["ab", "cc"]],
    }
    model = tokenizer_model(rules)
    assert list(model.made("abc")) == ["ab", "abc"]
    assert model.closed({7}) == {3, 6, 7}, "ab and cc; not abc, which no merge makes on the way"
    kept = sorted(model.closed({7}) | model.essential())
    assert model.trimmed(new_ids(kept))["merges"] == [["a", "b"], ["c", "c"], ["ab", "cc"]]


def test_unigram_keeps_what_the_unknown_is_measured_by():
    rules = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0], ["rare", -9.0], ["word", -2.0]]}
    assert tokenizer_model(rules).essential() == {0, 1, 2}
    assert tokenizer_model(rules).trimmed({0: 0, 1: 1, 2: 2})["vocab"] == rules["vocab"][:3]


def test_what_the_texts_use_is_counted():
    tokenizer = build("wordpiece")
    counts = counted(tokenizer, ["the film", "the plot"])
    assert counts[tokenizer.convert_tokens_to_ids("the")] == 2
    assert tokenizer.cls_token_id not in counts


def test_used_and_first_and_top():
    vocabulary = Vocabulary(build("wordpiece"))
    first = first_pieces(vocabulary, 10)
    assert not set(first) & vocabulary.essential and len(first) == 10
    kept = used(vocabulary, [200], also=10, fixed=[250])
    assert set(kept) == vocabulary.essential | {200, 250} | set(first)
    for kind in KINDS:
        vocabulary = Vocabulary(build(kind))
        count = len(vocabulary.closed(())) + 7
        ids = sorted(vocabulary.ids - vocabulary.essential)
        kept = top(vocabulary, {n: n for n in ids[-20:]}, count, fixed=())
        assert len(kept) == count and vocabulary.essential <= set(kept)
        assert vocabulary.closed(kept) == set(kept)
    with pytest.raises(InputError, match="always stay"):
        top(vocabulary, {}, 3, fixed=())


def test_placeholders_are_not_among_the_first():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    pieces = ["[UNK]", "[unused0]", "[unused17]", "a", "##a", "the", "of"]
    backend = Tokenizer(models.WordPiece({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert first_pieces(Vocabulary(tokenizer), 2) == [5, 6]


def test_a_vocabulary_that_loses_special_tokens_is_refused():
    tokenizer = build("wordpiece")
    vocabulary = Vocabulary(tokenizer)
    with pytest.raises(InputError, match="lose 1 special") as error:
        trimmed_tokenizer(tokenizer, vocabulary.closed(()) - {tokenizer.mask_token_id})
    assert "[MASK]" in str(error.value)


def test_slow_and_other_tokenizers_are_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    class Slow:
        backend_tokenizer = None

    assert "convert it to a fast one" in (refusal(Slow()) or "")
    assert "no tokenizer" in (refusal(None) or "")
    level = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    assert "'WordLevel'" in (refusal(PreTrainedTokenizerFast(tokenizer_object=level, unk_token="[UNK]")) or "")
    assert refusal(build("unigram")) is None
