"""Tokenizers are whatever transformers opens, with a vocabulary; image processors likewise."""

from __future__ import annotations

import json
import shutil

import pytest

from compress.core.checkpoint.processor import open_processor
from compress.core.errors import InputError
from tests.tiny import tiny_bundle, tiny_config
from tests.tiny.tokens import VOCABULARY

CONFIG = tiny_config("bert")


@pytest.fixture
def saved(tmp_path):
    tiny_bundle("bert").processor.save_pretrained(tmp_path)
    return tmp_path


def test_there_may_be_none(tmp_path):
    CONFIG.save_pretrained(tmp_path)
    assert open_processor(tmp_path, CONFIG) is None


def test_a_vocabulary_alone_is_a_tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    assert len(open_processor(tmp_path, CONFIG)) == len(VOCABULARY)


@pytest.mark.parametrize(
    ("model_type", "name"), [("deberta-v2", "spm.model"), ("xlm-roberta", "sentencepiece.bpe.model")]
)
def test_sentencepiece_models_are_vocabularies(model_type, name, tmp_path):
    trainer = pytest.importorskip("sentencepiece").SentencePieceTrainer
    (tmp_path / "corpus.txt").write_text("the film was good and bad and it was the film\n" * 20)
    trainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "m"), vocab_size=28, hard_vocab_limit=False,
        minloglevel=2, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
    )  # fmt: skip
    (tmp_path / "m.vocab").unlink()
    shutil.move(tmp_path / "m.model", tmp_path / name)
    assert len(open_processor(tmp_path, tiny_config(model_type))("the film")["input_ids"]) > 2


def test_settings_without_a_vocabulary_are_no_tokenizer(saved):
    (saved / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="tokenizer"):
        open_processor(saved, CONFIG)
    (saved / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    with pytest.raises(InputError, match=r"vocab\.txt \(or tokenizer\.json\) is missing"):
        open_processor(saved, CONFIG)


def test_code_of_a_tokenizer_is_not_run(saved):
    path = saved / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "auto_map": {"AutoTokenizer": ["own.Own", None]}}))
    with pytest.raises(InputError, match="never run"):
        open_processor(saved, CONFIG)


def test_a_tokenizer_of_a_newer_library_is_refused(saved):
    path = saved / "tokenizer.json"
    rules = json.loads(path.read_text())
    rules["model"]["type"] = "NewModel"
    path.write_text(json.dumps(rules))
    with pytest.raises(InputError, match="cannot open the tokenizer"):
        open_processor(saved, CONFIG)


def test_a_tokenizer_that_opens_and_cannot_encode(saved):
    path = saved / "tokenizer.json"
    rules = json.loads(path.read_text())
    rules["post_processor"]["single"][0] = {"SpecialToken": {"id": "[NOWHERE]", "type_id": 0}}
    path.write_text(json.dumps(rules))
    with pytest.raises(InputError, match="cannot encode a text"):
        open_processor(saved, CONFIG)


def test_images_need_a_processor_that_transformers_has(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "OwnProcessor"}))
    with pytest.raises(InputError, match="no such image processor"):
        open_processor(tmp_path, tiny_config("vit"))


def test_a_length_that_is_no_number(saved):
    path = saved / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": [512]}))
    with pytest.raises(InputError, match="model_max_length"):
        open_processor(saved, CONFIG)
