"""Labels of a head and of a task: matched by name, else said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from compress.core.checkpoint.for_task import load_source
from compress.core.checkpoint.labels import aligned, checkpoint_labels, matching
from tests.tiny import tiny_bundle, tiny_classifier_directory, tiny_logits

NLI = ("contradiction", "neutral", "entailment")


def named(directory: Path, names: tuple[str, ...]) -> Path:
    config = json.loads((directory / "config.json").read_text())
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize(
    ("own", "asked", "kept", "said"),
    [
        (NLI, NLI, NLI, None),
        (("LABEL_0", "LABEL_1"), ("0", "1"), ("0", "1"), None),
        (("POS", " neg"), ("pos", "neg"), ("POS", " neg"), None),
        (NLI, ("0", "1", "2"), NLI, "labels (0, 1, 2) and the checkpoint's (contradiction, neutral, entailment)"),
        (("no", "yes"), ("bad", "good"), ("bad", "good"), "labels (bad, good) and the checkpoint's (no, yes)"),
        (("0", "1"), ("bad", "good"), ("bad", "good"), "labels (bad, good) and the checkpoint's (0, 1)"),
        (("LABEL_0", "LABEL_1"), ("bad", "good"), ("bad", "good"), "does not name its labels (LABEL_0, LABEL_1)"),
        (("LABEL_0", "LABEL_1"), ("1", "2"), ("1", "2"), "does not name its labels (LABEL_0, LABEL_1)"),
    ],
)
def test_names_and_remarks(own: tuple[str, ...], asked: tuple[str, ...], kept: tuple[str, ...], said: str) -> None:
    bundle = tiny_bundle("bert", len(asked), num_hidden_layers=1)
    bundle.config.id2label = dict(enumerate(asked))
    before = bundle.model.classifier.weight.clone()
    notes = aligned(bundle.model, own=own, asked=asked)
    assert tuple(bundle.config.id2label.values()) == kept
    assert torch.equal(bundle.model.classifier.weight, before)
    assert (said in notes[0]) if said else notes == ()


def test_another_order_sorts_the_head(tmp_path: Path) -> None:
    directory = named(tiny_classifier_directory(tmp_path, labels=3), NLI)
    own = load_source(directory, head="sequence_classification", labels=NLI)
    found = load_source(directory, head="sequence_classification", labels=("Entailment", "neutral", "contradiction"))
    assert torch.equal(tiny_logits(found), tiny_logits(own)[:, [2, 1, 0]])
    assert tuple(found.config.id2label.values()) == ("entailment", "neutral", "contradiction")
    assert "its head was sorted to the task's" in found.notes[0]


def test_labels_of_a_directory(tmp_path: Path) -> None:
    directory = tiny_classifier_directory(tmp_path, labels=3)
    assert checkpoint_labels(directory) is None
    assert checkpoint_labels(named(directory, NLI)) == NLI
    assert checkpoint_labels(tmp_path / "nothing") is None
    (tmp_path / "config.json").write_text('{"id2label": [1]}')
    assert checkpoint_labels(directory) is None


def test_matching_needs_each_label_once() -> None:
    assert matching(("a", "B "), ("b", "A")) == (1, 0)
    assert matching(("a", "A"), ("a", "A")) is None
    assert matching(("a", "b"), ("a", "b", "c")) is None
