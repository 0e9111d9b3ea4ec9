"""Every family: what is left of its vocabulary and positions gives the same logits, and is saved as stock."""

from __future__ import annotations

import pytest
import torch

from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError, Refusal
from compress.core.families.family import base_model, family_of
from compress.core.model.bundle import Bundle
from compress.core.model.embeddings import named_words
from compress.core.model.sketch import Sketch
from compress.core.surgery.embeddings import keep_positions, keep_words
from compress.positions.change import KeepPositions
from compress.vocabulary.change import KeepWordCount, KeepWords
from compress.vocabulary.tokenizers.trimming import Vocabulary, new_ids
from tests.contracts.test_saving import assert_opens_as_stock
from tests.contracts.test_surgery import supporting
from tests.tiny import IMAGE_FAMILIES, few, tiny_bundle, tiny_logits, tiny_rows

TEXTS = [row["text"] for row in tiny_rows(6, seed=0)]


def some_words(bundle: Bundle) -> tuple[int, ...]:
    vocabulary = Vocabulary(bundle.processor)
    used = {number for ids in bundle.processor(TEXTS)["input_ids"] for number in ids}
    return tuple(sorted(vocabulary.closed(used) | named_words(bundle.model, bundle.family)))


def answers(bundle: Bundle, texts: list[str] = TEXTS) -> torch.Tensor:
    with torch.no_grad():
        return bundle.model.eval()(**bundle.processor(texts, padding=True, return_tensors="pt")).logits


@pytest.mark.parametrize("name", few(supporting("vocabulary")))
def test_fewer_words_give_the_same_logits(name, tmp_path):
    bundle = tiny_bundle(name)
    kept, before = some_words(bundle), bundle.copy()
    assert len(kept) < bundle.config.vocab_size
    cut = bundle.changed_by(KeepWords(kept=kept, of=bundle.config.vocab_size))
    assert cut.config.vocab_size == cut.sketch().vocabulary == len(cut.processor) == len(kept)
    assert torch.equal(answers(cut), answers(before))
    assert len(before.processor) > len(kept), "the tokenizer that came in stays as it was"
    save(cut, tmp_path)
    loaded = load(tmp_path)
    assert torch.equal(answers(loaded), answers(before))
    assert loaded.processor.get_vocab() == cut.processor.get_vocab()
    assert loaded.changes == cut.changes
    assert_opens_as_stock(tmp_path, name, tiny_logits(cut))


@pytest.mark.parametrize("name", supporting("positions"))
def test_fewer_positions_give_the_same_logits(name, tmp_path):
    bundle = tiny_bundle(name)
    before, of = bundle.copy(), bundle.sketch().positions
    cut = bundle.changed_by(KeepPositions(length=20, of=of))
    assert cut.sketch().positions == 20 and cut.processor.model_max_length == 20
    assert before.processor.model_max_length > 20
    assert torch.equal(answers(cut), answers(before))
    full = " ".join(["film"] * 40)
    assert torch.isfinite(_logits(cut, cut.processor(full, truncation=True, return_tensors="pt"))).all()
    save(cut, tmp_path)
    loaded = load(tmp_path)
    assert torch.equal(answers(loaded), answers(before)) and loaded.processor.model_max_length == 20
    assert loaded.sketch().positions == 20
    assert not (tmp_path / "changed.py").exists()
    with pytest.raises(InputError, match="20 positions, fewer"):
        keep_positions(cut.model, cut.family, 21)


def _logits(bundle, inputs):
    with torch.no_grad():
        return bundle.model(**inputs).logits


@pytest.mark.parametrize("name", sorted(set(supporting("layers")) - set(supporting("positions"))))
def test_families_without_a_table_of_positions_say_why(name):
    bundle = tiny_bundle(name)
    with pytest.raises(Refusal, match=f"positions of a {name} model"):
        keep_positions(bundle.model, bundle.family, 10)


@pytest.mark.parametrize("name", sorted(IMAGE_FAMILIES))
def test_pictures_have_no_words(name):
    bundle = tiny_bundle(name)
    with pytest.raises(Refusal, match="inputs are images"):
        keep_words(bundle.model, bundle.family, {0: 0})


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "bart", "modernbert"])
def test_ids_of_the_configuration_follow(name):
    special = {"pad_token_id": 60, "eos_token_id": 70, "bos_token_id": 71}
    if name in ("t5", "bart"):
        special["decoder_start_token_id"] = 50
    bundle = tiny_bundle(name, **special)
    bundle.model.config.eos_token_id = [70, 72] if name == "gpt2" else 70
    with pytest.raises(InputError, match="would be lost"):
        keep_words(bundle.model, bundle.family, new_ids(range(40)))
    kept = [*range(0, 40, 2), 50, 60, 70, 71, 72]
    keep_words(bundle.model, bundle.family, new_ids(named_words(bundle.model, bundle.family) | set(kept)))
    new = new_ids(set(kept) | named_words_of(name))
    assert bundle.config.pad_token_id == new[60] and bundle.config.bos_token_id == new[71]
    assert bundle.config.eos_token_id == ([new[70], new[72]] if name == "gpt2" else new[70])
    if name in ("t5", "bart"):
        assert bundle.config.decoder_start_token_id == new[50]
    table = base_model(bundle.model).get_input_embeddings()
    assert table.padding_idx in (None, new[60]) and table.num_embeddings == len(new)


def named_words_of(name):
    """Ids that the tiny configuration names besides."""
    config = tiny_bundle(name).config
    ids = [config.to_dict().get(field) for field in ("cls_token_id", "sep_token_id", "forced_eos_token_id")]
    return {number for number in ids if isinstance(number, int)}


def test_positions_counted_from_the_padding_keep_its_id():
    bundle = tiny_bundle("roberta")
    assert {0, 1} <= named_words(bundle.model, bundle.family)
    assert 0 not in named_words(tiny_bundle("bert").model, family_of("bert"))


def test_a_tied_output_is_cut_with_the_table():
    import transformers

    config = tiny_bundle("bert").config
    model = transformers.BertForMaskedLM(config).eval()
    keep_words(model, family_of("bert"), new_ids(range(30)))
    table = model.bert.embeddings.word_embeddings
    assert model.cls.predictions.decoder.weight is table.weight and table.weight.shape[0] == 30
    assert model.cls.predictions.decoder.bias is model.cls.predictions.bias and model.cls.predictions.bias.shape == (
        30,
    )
    assert model(torch.tensor([[2, 3]])).logits.shape == (1, 2, 30)


@pytest.mark.parametrize(
    ("name", "words", "positions", "width"),
    [("bert-base", 30_522, 512, 768), ("bert-large", 30_522, 512, 1024), ("roberta-base", 50_265, 512, 768)],
)
def test_counts_on_the_meta_device(name, words, positions, width):
    import transformers

    shape = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    with torch.device("meta"):
        if name == "roberta-base":
            config = transformers.RobertaConfig(vocab_size=words, max_position_embeddings=514, type_vocab_size=1)
            model = transformers.RobertaModel(config)
        else:
            model = transformers.BertModel(transformers.BertConfig(**(shape if name == "bert-large" else {})))
    before = Sketch.of(model, family_of(model.config.model_type))
    assert (before.vocabulary, before.positions) == (words, positions)
    bundle = Bundle(model, None).changed_by(KeepWordCount(count=12_000, of=words))
    bundle = bundle.changed_by(KeepPositions(length=128, of=positions))
    after = bundle.sketch()
    assert before.parameters - after.parameters == (words - 12_000 + positions - 128) * width
    assert (after.vocabulary, after.positions) == (12_000, 128)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    if name == "bert-base":
        assert after.parameters == 109_482_240 - 18_522 * 768 - 384 * 768
