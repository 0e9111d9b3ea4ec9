"""The stages: what stays, what is refused, and what is said before any data is read."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from compress.core.errors import InputError, Refusal
from compress.core.model.change import Nothing
from compress.core.stage.context import Context
from compress.core.stage.corpus import check_file, documents
from compress.positions.stage import TrimPositions
from compress.vocabulary.change import KeepWords, ids_from_text, ids_to_text
from compress.vocabulary.stage import First, Top, TrimVocabulary
from compress.vocabulary.tokenizers.trimming import Vocabulary
from tests.compress.vocabulary.given import TEXTS, context, trained
from tests.tiny.stages import declared, predicted, refused


def answers(bundle, texts=TEXTS):
    with torch.no_grad():
        return bundle.model(**bundle.processor(texts, padding=True, return_tensors="pt")).logits


def test_what_the_data_uses_stays():
    bundle, ctx = trained(), context()
    before = bundle.copy()
    after = TrimVocabulary(also=None).run(bundle, ctx)
    rows = after.config.vocab_size
    assert rows < before.config.vocab_size and after.states == {"head_trained", "trimmed"}
    assert torch.equal(answers(after), answers(before))
    assert ctx.facts["vocabulary"] == {
        "rows": rows,
        "of": before.config.vocab_size,
        "used": ctx.facts["vocabulary"]["used"],
    }
    assert after.changes[-1].summary(before.sketch()) == {"vocabulary": {"rows": rows, "of": before.config.vocab_size}}
    again = TrimVocabulary(also=None).run(after, context())
    assert again.config.vocab_size == rows and isinstance(again.changes[-1], Nothing)


def test_the_first_words_stay_too():
    bundle = trained()
    ordinary = sorted(Vocabulary(bundle.processor).ids - Vocabulary(bundle.processor).essential)
    kept = TrimVocabulary(also=First(first=4)).decide(bundle, context(["a"])).kept
    assert set(ordinary[:4]) <= set(kept) and ordinary[5] not in kept
    assert isinstance(TrimVocabulary().decide(bundle, context()), Nothing), "all 82 words are among the first 10,000"


def test_as_many_words_as_were_asked_for():
    bundle = trained()
    stage = TrimVocabulary(keep=Top(top=63))
    assert declared(stage, bundle.sketch()).change.count == 63 and declared(stage, bundle.sketch()).uncertain is None
    guessed = predicted(stage, bundle.copy().to("meta"))
    after = stage.run(bundle, context())
    assert after.config.vocab_size == len(after.processor) == 63
    assert guessed.sketch().parameters == after.sketch().parameters
    assert {n: p.shape for n, p in guessed.model.named_parameters()} == {
        n: p.shape for n, p in after.model.named_parameters()
    }
    with pytest.raises(InputError, match="always stay"):
        TrimVocabulary(keep=Top(top=20)).run(trained(), context())


def test_without_data_the_stage_says_what_it_does_not_know():
    said = declared(TrimVocabulary(), replace(trained().sketch(), vocabulary=30_522))
    assert said.uncertain == "between 10,000 and 30,522 tokens stay; the corpus decides how many"
    assert said.change.count == 30_522


def test_a_file_of_texts(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("the film\n\nis good\n", "utf-8")
    bundle = trained()
    kept = TrimVocabulary(also=None, corpus=str(file)).decide(bundle, context(["awful plot"])).kept
    vocabulary = bundle.processor.get_vocab()
    assert {vocabulary[word] for word in ("the", "film", "is", "good")} <= set(kept)
    assert vocabulary["awful"] not in kept


def test_a_file_that_cannot_be_read_is_a_mistake_of_the_recipe(tmp_path):
    with pytest.raises(ValidationError, match="no such file of texts"):
        TrimVocabulary(corpus=str(tmp_path / "nowhere.txt"))
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValidationError, match="is empty"):
        TrimVocabulary(corpus=str(tmp_path / "empty.txt"))
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValidationError, match="cannot be read"):
        TrimVocabulary(corpus=str(tmp_path / "odd.txt"))


def test_a_line_ends_at_its_end_alone(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffone\u2028two\fthree\r\nnext \r\n\r\nlast\rword".encode())
    expected = [("one\u2028two\fthree", "next"), ("last\rword",)]
    assert documents(str(file), Context()) == expected
    packed = tmp_path / "texts.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert documents(str(packed), Context()) == expected


@pytest.mark.parametrize("damage", [lambda data: data[:-12], lambda data: data[:30] + b"????" + data[34:]])
def test_a_damaged_archive_is_a_mistake_of_the_input(damage, tmp_path):
    file = tmp_path / "texts.gz"
    file.write_bytes(damage(gzip.compress("\n".join(f"text {n * n}" for n in range(200)).encode())))
    with pytest.raises(InputError, match="cannot be read"):
        documents(str(file), Context())


def test_the_first_text_is_enough_to_know_that_there_is_one(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes(b"\n  \none\n" + b"more\n" * 100_000 + b"\xff")
    check_file(str(file))
    with pytest.raises(InputError, match="cannot be read"):
        documents(str(file), Context())


def test_settings_that_contradict_each_other():
    with pytest.raises(ValidationError, match="goes with 'keep: used'"):
        TrimVocabulary.model_validate({"keep": {"top": 100}, "also": {"first": 10}})
    assert TrimVocabulary.model_validate({"keep": {"top": 100}}).keep == Top(top=100)
    assert TrimVocabulary.model_validate({"also": "none"}).also is None


@pytest.mark.parametrize("state", ["quantized", "adapted", "masked"])
@pytest.mark.parametrize("stage", [TrimVocabulary(), TrimPositions(length=8)])
def test_states_that_cannot_be_trimmed(stage, state):
    sketch = replace(trained().sketch(), states=frozenset({"head_trained", state}))
    assert "cannot" in refused(stage, sketch)


def test_models_that_cannot_be_trimmed():
    assert "inputs are images" in refused(TrimVocabulary(), trained("vit").sketch())
    assert "its positions are relative" in refused(TrimPositions(length=8), trained("t5").sketch())
    assert "keeps them all" in refused(TrimVocabulary(keep=Top(top=82)), trained().sketch())
    assert "removes none" in refused(TrimPositions(length=72), trained().sketch())
    assert refused(TrimVocabulary(), trained().sketch()) is None
    untrained = replace(trained().sketch(), states=frozenset())
    assert "its head is not trained" in refused(TrimVocabulary.model_validate({"recover": {}}), untrained)
    assert refused(TrimVocabulary.model_validate({"recover": {"by": "mlm"}}), untrained) is None


def test_a_tokenizer_that_does_not_fit_is_refused():
    bundle = trained()
    bundle.processor = None
    with pytest.raises(Refusal, match="no tokenizer"):
        TrimVocabulary().check(bundle, None)
    with pytest.raises(InputError, match="no row for"):
        TrimVocabulary().check(trained(vocab_size=80), None)
    with pytest.raises(InputError, match="no row for"):
        TrimVocabulary().run(trained(vocab_size=80), context())


def test_what_always_stays_is_counted_before_any_work():
    bundle = trained()
    for number, fits in ((20, False), (63, True)):
        stage = TrimVocabulary(keep=Top(top=number))
        guessed = predicted(stage, bundle.copy())
        if fits:
            stage.check(guessed, None)
            TrimVocabulary().check(guessed, None)
        else:
            with pytest.raises(InputError, match="always stay, more than are to be kept"):
                stage.check(guessed, None)


def test_rows_that_the_tokenizer_does_not_know_go():
    after = TrimVocabulary(also=None).run(trained(vocab_size=96), context())
    assert after.config.vocab_size == len(after.processor)


def test_positions_are_cut_to_the_served_length():
    bundle = trained()
    before, stage = bundle.copy(), TrimPositions(length=24)
    assert not stage.requires().data
    after = stage.run(bundle, context())
    assert after.config.max_position_embeddings == after.processor.model_max_length == 24
    assert torch.equal(answers(after), answers(before))

    class Longer:
        def longest_row(self):
            return 32

    with pytest.raises(InputError, match="up to 32 tokens"):
        stage.check(after, Longer())


def test_ids_are_short_in_a_record():
    ids = (0, 1, 2, 7, 9, 10)
    assert ids_from_text(ids_to_text(ids)) == ids
    change = KeepWords(kept=ids, of=20)
    assert change.data()["kept"] == "0-2 7 9-10"
    assert KeepWords.model_validate({"kept": "0-2 7 9-10", "of": 20}) == change
