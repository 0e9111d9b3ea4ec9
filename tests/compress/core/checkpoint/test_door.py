"""The door of a checkpoint: what other tools leave in one is understood, said, or refused with its remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.save import load, save
from compress.core.errors import InputError
from tests.tiny import tiny_bundle, tiny_classifier_directory, tiny_config, tiny_logits

HEAD = "sequence_classification"
TWO = ("negative", "positive")
QUERY = "attention.self.query."
Damage = Callable[[Path], Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tiny_classifier_directory(tmp_path_factory.mktemp("bert"), "bert")
    config(id2label=dict(enumerate(TWO)))(directory)
    return directory


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "model"))


def opened(directory, **options):
    return load_source(directory, head=HEAD, labels=TWO, **options)


def refused(directory):
    """The message to a run; a check and `compress.load` refuse too."""
    with pytest.raises(InputError) as caught:
        opened(directory)
    with pytest.raises(InputError):
        opened(directory, meta=True)
    with pytest.raises(InputError):
        load(directory)
    text = str(caught.value)
    assert len(text) < 1500
    return text


def config(**fields: Any) -> Damage:
    def damage(directory: Path) -> None:
        path = directory / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return damage


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Damage:
    def damage(directory: Path) -> None:
        path = directory / "model.safetensors"
        changed = change(load_file(path))
        save_file({name: tensor.clone().contiguous() for name, tensor in changed.items()}, path, {"format": "pt"})

    return damage


def renamed(part: str, *others: str) -> Damage:
    """Every tensor with `part` in its name under each of the names with another part."""

    def change(state):
        found = {name: tensor for name, tensor in state.items() if part in name}
        rest = {name: tensor for name, tensor in state.items() if part not in name}
        return rest | {name.replace(part, other): tensor for name, tensor in found.items() for other in others}

    return tensors(change)


def prefixed(prefix: str) -> Damage:
    return tensors(lambda state: {prefix + name: tensor for name, tensor in state.items()})


def with_nan(state):
    state["bert.encoder.layer.1.output.dense.weight"][0, 0] = float("nan")
    return state


def cast(state):
    return {name: t.to(torch.int8) if QUERY + "weight" in name else t for name, t in state.items()}


FOREIGN: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "torch.compile": (prefixed("_orig_mod."), ("_orig_mod.bert", "torch.compile", "removeprefix('_orig_mod.')")),
    "data parallel": (prefixed("module."), ("module.bert", "DataParallel", "removeprefix('module.')")),
    "another wrapper": (prefixed("encoder_model."), ("encoder_model.bert",)),
    "pruned by torch": (
        renamed(QUERY + "weight", QUERY + "weight_orig", QUERY + "weight_mask"),
        ("weight_mask", "torch.nn.utils.prune", "prune.remove"),
    ),
    "a pruned head": (renamed("classifier.weight", "classifier.weight_orig"), ("classifier.weight_orig", "remove")),
    "weight norm": (renamed(QUERY + "weight", QUERY + "weight_g", QUERY + "weight_v"), ("weight_g", "remove_")),
    "an adapter": (
        renamed(QUERY + "weight", QUERY + "base_layer.weight", QUERY + "lora_A.default.weight"),
        ("lora_A", "merge_and_unload"),
    ),
    "quantized": (
        lambda d: (tensors(cast)(d), tensors(lambda s: s | {f"bert.encoder.layer.0.{QUERY}SCB": torch.ones(32)})(d)),
        ("SCB", "quantized", "quantization_config"),
    ),
    "integers": (tensors(cast), ("I8", "quantization_config")),
    "relative positions": (
        tensors(lambda s: s | {"bert.encoder.layer.0.attention.self.distance_embedding.weight": torch.ones(9, 8)}),
        ("distance_embedding", "relative positions"),
    ),
    "relative positions by name": (config(position_embedding_type="relative_key"), ("relative_key",)),
    "surplus layers": (config(num_hidden_layers=2), ("32 tensors", "layer.2.", "another function")),
    "another module": (
        tensors(lambda s: s | {"bert.encoder.layer.0.gate.weight": torch.ones(3)}), ("encoder.layer.0.gate.weight",)
    ),
    "half a layer": (
        tensors(lambda s: {n: t for n, t in s.items() if "layer.2.attention" not in n}), ("lack 10", "layer.2.att")
    ),
    "other sizes": (config(intermediate_size=40), ("intermediate.dense.weight (the file has [48, 32])",)),
    "pruned heads": (config(pruned_heads={"0": [1]}), ("pruned_heads", "pattern: heads")),
    "code of its own": (config(auto_map={"AutoModel": "modeling.Own"}), ("code of its own", "modeling.Own")),
    "layers of their own": (config(per_layer_config={"0": {"intermediate_size": 8}}), ("per_layer_config",)),
    "an activation": (config(hidden_act="own_gelu"), ("hidden_act", "own_gelu")),
    "gptq": (config(quantization_config={"quant_method": "gptq"}), ("quantized by gptq",)),
    "not a number": (tensors(with_nan), ("NaN", "in 1 tensors", "layer.1.output.dense.weight")),
}  # fmt: skip


@pytest.mark.parametrize("form", FOREIGN)
def test_what_would_compute_another_function_is_refused_with_its_remedy(form, copy):
    damage, words = FOREIGN[form]
    damage(copy)
    message = refused(copy)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("output_attentions", True),
        ("output_hidden_states", True),
        ("return_dict", False),
        ("use_return_dict", False),
        ("torchscript", True),
        ("attn_implementation", "flash_attention_2"),
        ("_attn_implementation", "flash_attention_2"),
        ("chunk_size_feed_forward", 7),
        ("gradient_checkpointing", True),
        ("use_cache", True),
        ("transformers_weights", "../others.safetensors"),
    ],
)
def test_switches_of_how_a_model_was_run_are_put_aside(field, value, copy, whole):
    config(**{field: value})(copy)
    bundle = opened(copy)
    assert torch.equal(tiny_logits(bundle), tiny_logits(opened(whole)))
    assert [note for note in bundle.notes if field in note] or field == "use_cache"
    assert "head_trained" in bundle.states
    save(bundle, copy / "again")
    assert json.loads((copy / "again" / "config.json").read_text()).get(field) in (None, True, False, 0)
    assert not load(copy / "again").notes


def test_fields_that_nobody_knows_are_said(copy):
    config(rotary_scale=4, gradient_checkpointing=False, directionality=None)(copy)
    assert opened(copy).notes == (
        "fields of config.json that transformers does not know for a bert model have no effect: rotary_scale",
    )


@pytest.mark.parametrize("named", [None, [], ["BertModel"], ["BertForMaskedLM"], ["OurClassifier"]])
@pytest.mark.parametrize("meta", [False, True])
def test_a_head_counts_by_its_tensors_whatever_config_names(named, meta, copy, whole):
    config(architectures=named)(copy)
    bundle = opened(copy, meta=meta)
    assert bundle.states == {"head_trained"}
    assert bundle.notes == () and bundle.head_note is None
    if not meta:
        assert torch.equal(tiny_logits(bundle), tiny_logits(opened(whole)))


@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {n: t for n, t in s.items() if "classifier" not in n}, "has no head for this task"),
        (lambda s: {n: t for n, t in s.items() if n != "classifier.bias"}, "lacks parts of its head"),
        (lambda s: s | {n: t.repeat(3, *[1] * (t.dim() - 1)) for n, t in s.items() if "classifier" in n}, "6 labels"),
        (lambda s: s | {"crf.transitions": torch.ones(2, 2)}, "crf.transitions"),
    ],
    ids=["none", "a part", "six labels", "a layer of its own"],
)
def test_why_a_head_does_not_count_is_said(change, words, meta, copy):
    tensors(change)(copy)
    bundle = opened(copy, meta=meta)
    assert "head_trained" not in bundle.states
    assert words in str(bundle.head_note) and bundle.head_note == bundle.notes[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "names 3 labels (a, b, c), and the head has 2 outputs"),
        ({"label2id": {TWO[0]: 1, TWO[1]: 0}}, "'id2label' and 'label2id' of config.json contradict each other"),
    ],
)
def test_names_that_contradict_the_head_or_each_other_are_said(fields, words, copy):
    config(**fields)(copy)
    found = opened(copy)
    assert "head_trained" in found.states
    assert any(words in note for note in found.notes)


def test_the_head_of_another_task_is_drawn_anew(copy):
    config(architectures=["BertForTokenClassification"])(copy)
    bundle, again = opened(copy), opened(copy)
    assert "BertForTokenClassification" in str(bundle.head_note)
    assert not torch.equal(bundle.model.classifier.weight, load_file(copy / "model.safetensors")["classifier.weight"])
    assert torch.equal(bundle.model.classifier.weight, again.model.classifier.weight)
    assert {"classifier.weight", "classifier.bias"} <= bundle.fresh


def test_heads_of_other_tasks_and_retired_constants_do_no_harm(copy):
    more = {"cls.predictions.bias": torch.ones(4), "bert.embeddings.position_ids": torch.arange(72)[None]}
    tensors(lambda state: state | more)(copy)
    bundle = opened(copy)
    assert bundle.states == {"head_trained"}
    assert bundle.notes == ("tensors of other heads in the checkpoint are not used: cls",)


def sharded(directory: Path) -> dict[str, str]:
    """The weights in three files with an index; which tensor lies in which."""
    tiny_bundle("bert").model.save_pretrained(directory, max_shard_size="40KB")
    (directory / "model.safetensors").unlink()
    return json.loads((directory / "model.safetensors.index.json").read_text())["weight_map"]


def test_weights_in_several_files(copy):
    sharded(copy)
    assert torch.equal(tiny_logits(opened(copy)), tiny_logits(tiny_bundle("bert")))
    assert opened(copy, meta=True).states == {"head_trained"}
    missing = sorted(copy.glob("model-*.safetensors"))[1]
    missing.unlink()
    message = refused(copy)
    assert missing.name in message and "pickle" not in message and "1 of the" in message
    (copy / "model.safetensors.index.json").unlink()
    assert "which says what is in which" in refused(copy)


@pytest.mark.parametrize("name", ["../out.safetensors", "/tmp/out.safetensors", "sub/x.safetensors", "x.bin", ".x"])
def test_an_index_opens_no_other_file(name, copy):
    files = sharded(copy)
    (copy / "sub").mkdir()
    first = next(iter(files))
    if "out" not in name:
        shutil.copy(copy / files[first], copy / name)
    else:
        shutil.copy(copy / files[first], copy.parent / "out.safetensors")
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {**files, first: name}}))
    assert "not opened" in refused(copy)


JSON = ("", "[]", "null", "{", '{"a":' * 200 + "1" + "}" * 200, "[" * 100_000, "\xff", '{"a":' + "9" * 6000 + "}")


@pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "trimformer.json",
     "preprocessor_config.json", "model.safetensors.index.json"],
)  # fmt: skip
def test_small_files_that_are_damaged(name, text, copy):
    if name.endswith("index.json"):
        (copy / "model.safetensors").unlink()
    (copy / name).write_text(text, "latin-1")
    assert name in refused(copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id2label", ["bad", "good"]), ("id2label", {"0": "bad", "7": "good"}), ("id2label", {"0": [1], "1": "x"}),
        ("label2id", [0]), ("num_labels", "two"), ("architectures", "BertModel"), ("model_type", 7),
        ("hidden_size", "32"), ("num_attention_heads", 0), ("num_attention_heads", 5), ("num_hidden_layers", 10**9),
        ("vocab_size", 10**12), ("torch_dtype", "float7"), ("quantization_config", "int8"), ("problem_type", "odd"),
        ("layer_norm_eps", "small"), ("type_vocab_size", -1), ("quantization_config", {"quant_method": "odd"}),
    ],
)  # fmt: skip
def test_values_that_no_configuration_can_have(field, value, copy):
    config(**{field: value})(copy)
    assert refused(copy)


@pytest.mark.parametrize(
    "record",
    [
        {}, {"format": 1, "changes": 5}, {"format": 1, "states": "masked"}, {"format": 1, "bf16": ["nowhere"]},
        {"format": 1, "masks": {"classifier.weight": [2, 32]}}, {"format": 1, "masks": {"a": 5}},
        {"format": 1, "changes": [{"kind": "keep_layers", "layers": "all"}]},
    ],
)  # fmt: skip
def test_records_that_are_damaged(record, copy):
    (copy / "trimformer.json").write_text(json.dumps(record))
    assert refused(copy)


def test_masks_that_fit_no_weight(copy):
    (copy / "trimformer.json").write_text(json.dumps({"format": 1, "masks": {"nowhere.weight": [2, 4]}}))
    save_file({"nowhere.weight": torch.ones(1, dtype=torch.uint8)}, copy / "masks.safetensors")
    assert "nowhere.weight" in refused(copy)
    (copy / "masks.safetensors").write_bytes(b"nonsense")
    assert "damaged" in refused(copy)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "damaged"), (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"\xff" * 64, "damaged")],
)
def test_weights_that_are_damaged(content, words, copy):
    (copy / "model.safetensors").write_bytes(content)
    assert words in refused(copy)


def test_what_stands_in_the_place_of_weights_is_said(copy):
    (copy / "model.safetensors").rename(copy / "tf_model.h5")
    with pytest.raises(InputError, match=r"it has tf_model\.h5"):
        opened(copy)
    assert opened(copy, meta=True).states == {"head_trained"}  # a check needs no weights


def test_tensors_that_are_missing_are_never_made_up(copy):
    tensors(lambda state: {n: t for n, t in state.items() if n != "classifier.weight"})(copy)
    with pytest.raises(InputError, match=r"lack 1 tensors .*classifier\.weight"):
        load(copy)


@pytest.mark.parametrize(
    "ids",
    [
        {"pad_token_id": 10**6},
        {"pad_token_id": "0"},
        {"pad_token_id": 2**63},
        {"eos_token_id": [3, "a"]},
        {"eos_token_id": 0.5},
    ],
)
def test_an_id_that_is_no_token_is_refused(copy, ids):
    config(**ids)(copy)
    with pytest.raises(InputError, match="is no id of a token"):
        opened(copy)


@pytest.mark.parametrize("start", [None, -1, ""])
def test_a_decoder_that_starts_with_no_token_is_refused(tmp_path, start):
    directory = tiny_classifier_directory(tmp_path, "t5")
    config(decoder_start_token_id=start)(directory)
    with pytest.raises(InputError, match="decoder"):
        opened(directory)


OTHERS = {
    "BertForPreTraining": ("bert", "cls"),
    "DistilBertForMaskedLM": ("distilbert", "vocab_layer_norm, vocab_projector, vocab_transform"),
    "AlbertForPreTraining": ("albert", "predictions, sop_classifier"),
    "ElectraForPreTraining": ("electra", "discriminator_predictions"),
    "DebertaV2ForMaskedLM": ("deberta-v2", "cls"),
    "ModernBertForMaskedLM": ("modernbert", "decoder"),
    "GPT2LMHeadModel": ("gpt2", ""),
    "BartForConditionalGeneration": ("bart", "final_logits_bias"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_pretrained_models_are_sources_and_load_as_what_they_are(name, tmp_path):
    import transformers

    family, heads = OTHERS[name]
    getattr(transformers, name)(tiny_config(family)).save_pretrained(tmp_path)
    bundle = opened(tmp_path)
    assert "head_trained" not in bundle.states and bundle.fresh
    assert [note for note in bundle.notes if "other heads" in note] == (
        [f"tensors of other heads in the checkpoint are not used: {heads}"] if heads else []
    )
    assert not [note for note in load(tmp_path).notes if "heads" in note]


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("gpt2", {"transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
                  "transformer.h.0.attn.bias": torch.ones(1, 1, 72, 72, dtype=torch.uint8)}),
        ("roberta", {"roberta.pooler.dense.weight": torch.ones(32, 32)}),
        ("deberta-v2", {"mask_predictions.dense.weight": torch.ones(3, 3)}),
    ],
)  # fmt: skip
def test_what_older_versions_left_in_files_does_no_harm(family, more, tmp_path):
    tiny_classifier_directory(tmp_path, family)
    tensors(lambda state: state | more)(tmp_path)
    assert opened(tmp_path).states == opened(tmp_path, meta=True).states == {"head_trained"}
    assert not [note for note in load(tmp_path).notes if "fields" in note]


def test_tied_tensors_that_differ_in_the_file_both_count(tmp_path):
    tiny_classifier_directory(tmp_path, "t5")
    own = torch.ones(load_file(tmp_path / "model.safetensors")["transformer.shared.weight"].shape)
    tensors(lambda state: state | {"transformer.encoder.embed_tokens.weight": own})(tmp_path)
    model = opened(tmp_path).model
    assert torch.equal(model.transformer.encoder.embed_tokens.weight, own)
    assert not torch.equal(model.transformer.shared.weight, own)


@pytest.mark.parametrize("length", [0, -1])
def test_a_tokenizer_that_reads_nothing_is_refused(copy, length):
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": length}))
    with pytest.raises(InputError, match="reads no tokens"):
        opened(copy)
