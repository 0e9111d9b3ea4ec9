"""Every mistake in a task's data is one message that says where, what is there, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compress.core.errors import InputError
from finetune.tasks.text_classification import TextClassification

GOOD = [{"text": f"word {i}", "label": i % 2, "score": i / 7} for i in range(20)]
Write = Callable[[str, list[dict[str, Any]]], Path]


def complaint(**settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        TextClassification(**settings).check()
    assert caught.value.exit_code == 2
    return str(caught.value)


def with_rows(write: Write, *, train: list[dict[str, Any]] = GOOD, validation: list[dict[str, Any]] = GOOD) -> str:
    write("data/train.jsonl", train)
    return str(write("data/validation.jsonl", validation).parent)


def test_missing_directory(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    assert "did you mean 'reviews'?" in complaint(data=str(tmp_path / "review"))


def test_directory_without_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert "no data file (there is: notes.txt)" in complaint(data=str(tmp_path))


def test_missing_file(write: Write) -> None:
    path = write("train.jsonl", GOOD)
    message = complaint(train=str(path.with_name("trian.jsonl")), evaluation="x.jsonl")
    assert "no such file" in message
    assert "did you mean 'train.jsonl'?" in message


def test_two_files_for_one_split(write: Write) -> None:
    directory = with_rows(write)
    write("data/train.jsonl.gz", GOOD)
    assert "two files for the split 'train'" in complaint(data=directory)


def test_missing_split_names_those_that_are_there(write: Write) -> None:
    message = complaint(data=with_rows(write), evaluation="validate")
    assert "no split 'validate'" in message
    assert "there is: train, validation; did you mean 'validation'?" in message


def test_nothing_to_report_on(write: Write) -> None:
    path = write("data/train.jsonl", GOOD)
    assert "no split to report on" in complaint(data=str(path.parent))


@pytest.mark.parametrize("setting", [{"text": "txet"}, {"label": "labels"}])
def test_missing_column_names_those_that_are_there(write: Write, setting: dict[str, str]) -> None:
    message = complaint(data=with_rows(write), **setting)
    assert "columns: text, label, score; did you mean" in message
    assert "data/train.jsonl: no column" in message


def test_labels_outside_the_set(write: Write) -> None:
    strange = [*GOOD, {"text": "word", "label": 7, "score": 0.0}]
    message = complaint(data=with_rows(write, validation=strange))
    assert "labels outside the set: 7 (1 rows), first in row 20" in message
    assert "data/validation.jsonl:21: " in message


def test_hidden_labels_are_recognised(write: Write) -> None:
    hidden = [{**row, "label": -1} for row in GOOD]
    assert "labels of this split are hidden" in complaint(data=with_rows(write, validation=hidden))


def test_labels_that_the_recipe_does_not_list(write: Write) -> None:
    rows = [{"text": "a", "label": "good"}, {"text": "b", "label": "odd"}]
    message = complaint(data=with_rows(write, train=rows), labels=["bad", "good"])
    assert "the recipe lists the labels bad, good, and train also has 'odd'" in message


def test_one_class_only(write: Write) -> None:
    same = [{**row, "label": 1} for row in GOOD]
    assert "all rows have one label, 1" in complaint(data=with_rows(write, train=same))


def test_empty_split(write: Write, tmp_path: Path) -> None:
    directory = with_rows(write)
    (tmp_path / "data" / "validation.jsonl").write_text("")
    assert "the file is empty" in complaint(data=directory)
    (tmp_path / "data" / "validation.jsonl").unlink()
    (tmp_path / "data" / "validation.csv").write_text("text,label,score\n")
    assert "the file has no rows" in complaint(data=directory)


def test_missing_text(write: Write) -> None:
    holes = [*GOOD, {"text": None, "label": 0, "score": 0.0}]
    assert "column 'text': 1 rows have no text, first row 20" in complaint(data=with_rows(write, train=holes))


def test_text_that_is_no_text(write: Write) -> None:
    assert "column 'score' holds float, not text" in complaint(data=with_rows(write), text="score")


def test_missing_label(write: Write) -> None:
    holes = [*GOOD, {"text": "word", "label": None, "score": 0.0}]
    assert "1 rows have no label, first row 20" in complaint(data=with_rows(write, train=holes))


def test_regression_on_words(write: Write) -> None:
    rows = [{"text": "a", "label": "good"}, {"text": "b", "label": "bad"}]
    assert "a regression needs finite numbers" in complaint(data=with_rows(write, train=rows), regression=True)


@pytest.mark.parametrize(("label", "metric"), [("label", "pearson"), ("score", "accuracy")])
def test_metric_that_does_not_fit(write: Write, label: str, metric: str) -> None:
    assert f"the metric '{metric}' does not fit" in complaint(data=with_rows(write), label=label, metric=metric)


@pytest.mark.parametrize("setting", [{"evaluation": "train"}, {"select": "validation", "evaluation": "validation"}])
def test_one_split_for_two_parts(write: Write, setting: dict[str, str]) -> None:
    assert "is used twice" in complaint(data=with_rows(write), **setting)


def test_subset_larger_than_train(write: Write) -> None:
    assert "a subset of 21 rows was asked, and train has 20" in complaint(data=with_rows(write), subset={"rows": 21})


def test_file_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", \n{{{')
    assert "cannot be read as json" in complaint(data=str(tmp_path), evaluation="train.jsonl")


def test_hub_id_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = complaint(data="no-one/has-this")
    assert "the dataset 'no-one/has-this' cannot be opened" in message


def test_unknown_source_is_named() -> None:
    with pytest.raises(ValueError, match="unknown source 'reviewss'; did you mean 'reviews'"):
        TextClassification(data={"reviewss": {}})


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"label": "some text", "score": 1}], {"text": "label", "label": "score"}, "cannot be called 'label'"),
        (GOOD, {"text": "text", "label": "text"}, "named as text and as label"),
        ([{"text": "a\0b", "label": 1}], {}, "train.jsonl:1: column 'text': the text holds a NUL character"),
        ([{"text": "a\ud800", "label": 1}], {}, "the text holds half a surrogate pair"),
        ([{"text": "a", "label": [0, 1]}], {}, "the label of row 0 is a list"),
        ([{"te\x1b[31mxt": "a", "label": 1}], {}, "columns: te\\x1b[31mxt, label"),
        ([{"text": ["a"] * 20000, "label": 1}, GOOD[0]], {}, "column 'text' holds list, not text"),
    ],
)
def test_columns_that_cannot_be_used(
    write: Write, rows: list[dict[str, Any]], settings: dict[str, str], message: str
) -> None:
    found = complaint(data=with_rows(write, train=rows), **settings)
    assert message in found
    assert "\x1b" not in found
    assert len(found) < 800
