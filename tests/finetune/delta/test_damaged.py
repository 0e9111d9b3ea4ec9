"""A delta that is damaged, or of which a part is missing, is refused: nothing is made up for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import finetune
from compress.core.checkpoint.for_task import load_source
from compress.core.errors import InputError
from compress.core.model.bundle import Tuned
from compress.core.model.change import Nothing
from finetune.delta.opening import open_directory
from finetune.delta.record import base_fingerprint
from finetune.methods.bitfit import Bitfit
from finetune.methods.lora import Lora
from recipes.measure.size import size
from tests.tiny import tiny_classifier_directory

METHODS = {"lora": (Lora(rank=2), "adapter_model.safetensors"), "bitfit": (Bitfit(), "delta.safetensors")}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A checkpoint, and a delta of each method beside it."""
    root = tmp_path_factory.mktemp("root")
    base = tiny_classifier_directory(root / "base", "bert", labels=4)
    for name, (method, _) in METHODS.items():
        bundle = load_source(base, head="sequence_classification", labels=("bad", "good"))
        fingerprint, change = base_fingerprint(bundle.model, bundle.family), method.change(bundle.sketch())
        after = bundle if isinstance(change, Nothing) else bundle.changed_by(change)
        after.tuned = Tuned(method.name, method.trainable(after), 0, fingerprint)
        finetune.save_delta(after, root / name, base=base)
    return root


@pytest.fixture(params=METHODS)
def delta(request, root, tmp_path):
    """A copy of base and delta, and the name of the delta's file of tensors."""
    shutil.copytree(root, tmp_path / "root")
    return tmp_path / "root" / request.param, METHODS[request.param][1]


def refused(directory: Path) -> str:
    for opened in (lambda: finetune.load(directory.parent / "base", directory), lambda: open_directory(directory)):
        with pytest.raises(InputError) as caught:
            opened()
    return str(caught.value)


def test_whole_deltas_open(delta):
    assert finetune.load(delta[0].parent / "base", delta[0]).config.num_labels == 2


def lacking(part: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda state: dict(sorted(state.items(), key=lambda item: part in item[0])[:-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lacking("classifier.weight"), "lacks 1 tensors"),
        (lacking("bias"), "lacks 1 tensors"),
        (lambda state: state | {"bert.odd.weight": torch.ones(2)}, "holds 1 tensors"),
        (lambda state: {n: t.to(torch.int8) for n, t in state.items()}, "floating-point"),
        (lambda state: {n: t * float("nan") for n, t in state.items()}, "NaN"),
        (lambda state: {n: t if "classifier" in n else t[:-1] for n, t in state.items()}, "other shapes"),
    ],
)
def test_tensors_that_are_missing_or_too_many(change, words, delta):
    directory, name = delta
    save_file({n: t.clone().contiguous() for n, t in change(load_file(directory / name)).items()}, directory / name)
    assert words in refused(directory)


def test_inserted_tensors_are_never_left_as_they_were_drawn(root, tmp_path):
    shutil.copytree(root, tmp_path / "root")
    path = tmp_path / "root" / "lora" / "adapter_model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if "layer.2" not in n}, path)
    record = path.with_name("delta_config.json")
    data = json.loads(record.read_text())
    record.write_text(json.dumps({**data, "trained": [n for n in data["trained"] if "layer.2" not in n]}))
    message = refused(path.parent)
    assert "layer.2" in message and "lacks" in message


@pytest.mark.parametrize("content", [b"", b"\xff" * 99])
def test_damaged_tensors(content, delta):
    (delta[0] / delta[1]).write_bytes(content)
    assert "cannot be read" in refused(delta[0])
    (delta[0] / delta[1]).unlink()
    refused(delta[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": 5}, {"base": "base"}, {"changes": [{"kind": 5}]}, {"changes": [{"kind": "insert_lora"}]},
        {"tensors": "nowhere.safetensors"}, {"trained": ["nowhere"]}, {"unknown": 1},
    ],
)  # fmt: skip
def test_records_with_odd_values(changes, delta):
    path = delta[0] / "delta_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert refused(delta[0])


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\xff"])
def test_records_that_are_no_json(text, delta):
    (delta[0] / "delta_config.json").write_text(text, "latin-1")
    assert "delta_config.json" in refused(delta[0])


@pytest.mark.parametrize("base", [".", "../lora/../lora", "a\0b", "x" * 5000, "../nowhere"])
def test_a_base_that_is_none(base, root, tmp_path):
    shutil.copytree(root, tmp_path / "root")
    directory = tmp_path / "root" / "lora"
    path = directory / "delta_config.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "base": {**data["base"], "path": base}}))
    with pytest.raises(InputError):
        open_directory(directory)
    if base.startswith((".", "a")) and "nowhere" not in base:
        with pytest.raises(InputError):
            size(directory, None)
