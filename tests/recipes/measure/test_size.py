import numpy as np
import pytest
import torch

from compress.core.checkpoint.save import save
from compress.core.errors import InputError
from recipes.measure.size import Counts, counts, model_files, sha256, size, tokenizer_files
from tests.tiny import tiny_bundle

COUNTS = Counts(parameters=10, nonzero=9, embedding=4)


def fill(directory, **files):
    for name, length in files.items():
        (directory / name.replace("__", ".")).write_bytes(b"x" * length)
    return directory


def test_the_tokenizer_is_counted_apart(tmp_path):
    files = {"config__json": 10, "model__safetensors": 100, "tokenizer__json": 7, "vocab__txt": 3, "stage__json": 50}
    found = size(fill(tmp_path, **files), COUNTS)
    assert (found.bytes, found.tokenizer_bytes) == (110, 10)
    assert (found.parameters, found.nonzero_parameters, found.embedding_parameters) == (10, 9, 4)


def test_an_export_is_what_its_format_wrote(tmp_path):
    fill(tmp_path, config__json=10, model__pt2=300, notes__pt2=7, tokenizer__json=7, stage__json=50)
    manifest = '{"files": ["model.pt2"]}'
    (tmp_path / "export.json").write_text(manifest)
    assert [path.name for path in model_files(tmp_path)] == ["config.json", "export.json", "model.pt2"]
    assert size(tmp_path, COUNTS).bytes == 310 + len(manifest)


def test_an_export_from_before_is_its_graph_and_weights(tmp_path):
    for name, files in {
        "onnx": {"model__onnx": 20, "model__onnx__data": 300},
        "openvino": {"openvino_model__xml": 20, "openvino_model__bin": 300},
    }.items():
        directory = tmp_path / name
        directory.mkdir()
        (directory / "export.json").write_text("{}")
        found = size(fill(directory, config__json=10, **files, openvino_tokenizer__xml=9), COUNTS)
        assert (found.bytes, found.tokenizer_bytes) == (332, 9)


def test_masks_are_no_part_of_the_model(tmp_path):
    fill(tmp_path, config__json=1, model__safetensors=10, masks__safetensors=5)
    assert [path.name for path in model_files(tmp_path)] == ["config.json", "model.safetensors"]


def test_a_directory_without_a_model_says_what_is_missing(tmp_path):
    fill(tmp_path, config__json=1)
    with pytest.raises(InputError, match="no model") as caught:
        size(tmp_path, COUNTS)
    assert str(tmp_path) in str(caught.value)
    fill(tmp_path, pytorch_model__bin=9)
    with pytest.raises(InputError) as caught:
        model_files(tmp_path)
    assert "pickle" in str(caught.value)


def test_the_digest_follows_names_and_contents_of_what_is_loaded(tmp_path):
    fill(tmp_path, config__json=3, model__safetensors=10, tokenizer__json=2)
    first = sha256(tmp_path)
    fill(tmp_path, stage__json=9)
    assert sha256(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"y" * 10)
    assert sha256(tmp_path) != first
    assert len(first) == 64


def test_counts_agree_with_the_saved_file(tmp_path):
    bundle = tiny_bundle("bert")
    with torch.no_grad():
        bundle.model.classifier.weight.zero_()
    found = counts(bundle)
    save(bundle, tmp_path)
    from safetensors.numpy import load_file

    tensors = load_file(tmp_path / "model.safetensors")
    assert found.parameters == sum(tensor.size for tensor in tensors.values())
    assert found.nonzero == sum(int(np.count_nonzero(tensor)) for tensor in tensors.values())
    assert found.nonzero <= found.parameters - bundle.model.classifier.weight.numel()
    tables = [tensor.size for name, tensor in tensors.items() if "_embeddings.weight" in name]
    assert found.embedding == sum(tables)
    assert [path.name for path in model_files(tmp_path)] == ["config.json", "model.safetensors", "trimformer.json"]
    assert tokenizer_files(tmp_path)


def test_a_shared_tensor_counts_once():
    bundle = tiny_bundle("bert")
    before = counts(bundle)
    layers = bundle.model.bert.encoder.layer
    layers[1].output.dense.weight = layers[0].output.dense.weight
    after = counts(bundle)
    assert before.parameters - after.parameters == layers[0].output.dense.weight.numel()
