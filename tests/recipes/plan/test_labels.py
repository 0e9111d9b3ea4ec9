"""The order of the classes in a run is that of the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compress.core.errors import InputError
from recipes.engine.source import load
from recipes.file.recipe import Recipe
from recipes.plan.labels import settled
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_classifier_directory

WORDS = ("sad", "glad", "mad")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tiny_classifier_directory(tmp_path_factory.mktemp("model"), labels=3)
    config = json.loads((directory / "config.json").read_text())
    config |= {"id2label": dict(enumerate(WORDS)), "label2id": {name: i for i, name in enumerate(WORDS)}}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def recipe(model: Path, folder: Path, values: tuple[str | float, ...], **task: object) -> Recipe:
    rows = [{"text": f"the film {i}", "label": values[i % len(values)]} for i in range(12)]
    paths = {part: str(write_rows(folder / f"{part}.jsonl", rows)) for part in ("train", "evaluation")}
    return Recipe.parse({"name": "t", "model": str(model), "task": {"text_classification": {**paths, **task}}})


def test_the_order_is_the_checkpoints(model: Path, tmp_path: Path) -> None:
    found = settled(recipe(model, tmp_path, ("mad", "sad", "Glad")))
    assert found.task.class_names == ("sad", "Glad", "mad")
    assert found.task.load(0).evaluation["label"][:3] == [2, 0, 1]
    source = load(found, 0)
    assert tuple(source.config.id2label.values()) == WORDS
    assert source.notes == ()
    assert Recipe.parse(found.dump()).task.class_names == found.task.class_names


def test_data_of_fewer_classes_keeps_the_head(model: Path, tmp_path: Path) -> None:
    found = settled(recipe(model, tmp_path, ("mad", "sad")))
    assert found.task.class_names == WORDS
    assert "head_trained" in load(found, 0).states


@pytest.mark.parametrize(
    ("values", "task"),
    [((0, 1, 2), {}), (("a", "b", "c"), {}), (WORDS, {"labels": ["mad", "sad", "glad"]}), ((0.5, 1), {})],
)  # fmt: skip
def test_what_is_left_as_it_is(
    model: Path, tmp_path: Path, values: tuple[str | float, ...], task: dict[str, object]
) -> None:
    given = recipe(model, tmp_path, values, **task)
    assert settled(given) is given


def test_numbers_are_taken_in_order_and_said(model: Path, tmp_path: Path) -> None:
    source = load(recipe(model, tmp_path, (0, 1, 2)), 0)
    assert "labels (0, 1, 2) and the checkpoint's (sad, glad, mad) do not match by name" in source.notes[0]
    assert tuple(source.config.id2label.values()) == WORDS


def test_bad_labels_have_their_place(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        settled(recipe(model, tmp_path, ("a", 5)))
    assert "task.text_classification: " in str(caught.value)
    assert "train.jsonl:1: " in str(caught.value)
