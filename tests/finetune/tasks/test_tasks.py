"""What a task reads."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from finetune.tasks.task import Task
from finetune.tasks.text_classification import TextClassification
from tests.finetune.conftest import write_rows
from tests.tiny import class_answers, right_answers, tiny_rows, tiny_tokenizer

Write = Callable[[str, list[dict[str, Any]]], Path]


def test_three_parts_without_a_row_in_common(task: TextClassification) -> None:
    splits = task.load(0)
    assert [len(splits.part(name)) for name in ("train", "select", "evaluation")] == [91, 5, 24]
    ids = [i for name in ("train", "select", "evaluation") for i in splits.part(name)["row_id"]]
    assert sorted(ids) == list(range(96 + 24))
    assert set(splits.evaluation["part"]) == {"validation"}
    assert splits is task.load(0)


def test_row_ids_name_the_row_of_the_file(task: TextClassification) -> None:
    texts = [row["text"] for row in tiny_rows(96, seed=0)]
    for row in (*task.load(3).train, *task.load(3).select):
        assert row["text"] == texts[row["row_id"]]


def test_select_is_drawn_by_seed_and_keeps_the_shares_of_the_classes(tmp_path: Path) -> None:
    rows = [{"text": f"word {i}", "label": "rare" if i % 10 == 0 else "common"} for i in range(400)]
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", rows)
    task = TextClassification(data=str(tmp_path))
    assert task.class_names == ("common", "rare")
    one, other = task.load(0), task.load(1)
    assert len(one.select) == len(other.select) == 20
    assert sum(one.select["label"]) == sum(other.select["label"]) == 2
    assert list(one.select["row_id"]) != list(other.select["row_id"])
    assert one.fingerprints["select"] != other.fingerprints["select"]
    assert one.fingerprints["evaluation"] == other.fingerprints["evaluation"]


def test_subset_is_the_same_for_every_seed(data: Path) -> None:
    task = TextClassification(data=str(data), subset={"rows": 40})
    ids = [{*task.load(seed).train["row_id"], *task.load(seed).select["row_id"]} for seed in (0, 1)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 40
    other = TextClassification(data=str(data), subset={"rows": 40, "seed": 1}).load(0)
    assert {*other.train["row_id"], *other.select["row_id"]} != ids[0]


@pytest.mark.parametrize("ending", ["json", "jsonl", "jsonl.gz", "csv", "csv.gz", "tsv", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    rows = [{"text": row["text"], "label": row["label"]} for row in tiny_rows(20)]
    rows[0]["text"] = "NA"  # a word, though pandas takes it for a hole
    for split in ("train", "test"):
        write_as(tmp_path / f"{split}.{ending}", rows)
    before = sorted(tmp_path.iterdir())
    splits = TextClassification(data=str(tmp_path)).load(0)
    assert list(splits.evaluation["text"]) == [row["text"] for row in rows]
    assert list(splits.evaluation["label"]) == [row["label"] for row in rows]
    assert sorted(tmp_path.iterdir()) == before


def write_as(path: Path, rows: list[dict[str, Any]]) -> None:
    from datasets import Dataset

    if path.suffix == ".parquet":
        Dataset.from_list(rows).to_parquet(path)
    elif "json" in path.name:
        write_rows(path, rows)
    else:
        with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
            writer = csv.DictWriter(file, ["text", "label"], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def test_files_named_one_by_one_and_joined_for_evaluation(write: Write) -> None:
    train, dev = write("a/train.jsonl", tiny_rows(20)), write("b/dev.jsonl.gz", tiny_rows(6, seed=1))
    final = write("b/final.jsonl", tiny_rows(4, seed=2))
    task = TextClassification(train=str(train), select=str(dev), evaluation=str(final))
    splits = task.load(0)
    assert [len(splits.train), len(splits.select), len(splits.evaluation)] == [20, 6, 4]
    joined = TextClassification(train=str(train), evaluation=f"{dev}+{final}").load(0).evaluation
    assert list(joined["part"]) == ["dev"] * 6 + ["final"] * 4


def test_two_text_columns(tmp_path: Path) -> None:
    rows = [{"first": "the film", "second": "is good", "label": 1}, {"first": "a", "second": "dull plot", "label": 0}]
    write_rows(tmp_path / "train.jsonl", rows * 10)
    write_rows(tmp_path / "test.jsonl", rows)
    task = TextClassification(data=str(tmp_path), text=["first", "second"])
    tokenizer = tiny_tokenizer(segments=True)
    batch = task.encode(task.load(0).evaluation, tokenizer)
    expected = tokenizer(["the film", "a"], ["is good", "dull plot"], padding=True, return_tensors="pt")
    assert all(torch.equal(batch[name], expected[name]) for name in expected)
    assert task.texts(task.load(0).evaluation) == ["the film | is good", "a | dull plot"]
    long = {"first": ["x" * 999], "second": ["\x1b[31mred"]}
    assert task.texts(Dataset.from_dict(long)) == ["x" * 296 + " ... | \\x1b[31mred"]


@pytest.mark.parametrize("values", [["a", "b", "c"], [1, 2, 5], [True, False, True], [0.0, 1.0, 2.0]])
def test_labels_of_any_kind_become_class_numbers(tmp_path: Path, values: list[Any]) -> None:
    rows = [{"text": "word", "label": values[i % 3]} for i in range(30)]
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", rows[:3])
    task = TextClassification(data=str(tmp_path))
    expected = sorted(set(values))
    assert len(task.class_names) == len(expected)
    assert list(task.load(0).evaluation["label"]) == [expected.index(value) for value in values]


def test_given_labels_set_the_order(tmp_path: Path) -> None:
    rows = [{"text": "word", "label": ("neg", "pos")[i % 2]} for i in range(30)]
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", rows[:2])
    assert list(TextClassification(data=str(tmp_path), labels=("pos", "neg")).load(0).evaluation["label"]) == [1, 0]


def test_numbers_with_a_fraction_are_a_regression(tmp_path: Path) -> None:
    rows = [{"text": "word", "label": i / 4} for i in range(40)]
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", rows[:5])
    task = TextClassification(data=str(tmp_path))
    assert (task.class_names, task.metric) == ((), "pearson")
    assert task.needs_head.settings() == {"num_labels": 1, "problem_type": "regression"}
    assert np.allclose(task.load(0).evaluation["label"], [0, 0.25, 0.5, 0.75, 1])
    loss = task.loss({"logits": torch.tensor([[1.0], [2.0]])}, {"labels": torch.tensor([0.0, 4.0])})
    assert loss.item() == pytest.approx(2.5)


def test_whole_numbers_are_a_regression_where_that_is_said(tmp_path: Path) -> None:
    rows = [{"text": "word", "label": i % 5} for i in range(40)]
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", rows[:5])
    task = TextClassification(data=str(tmp_path), regression=True, metric="spearman")
    assert task.load(0).evaluation["label"][3] == 3.0
    answers = class_answers(np.array([[0.0], [1.0], [4.0], [9.0], [16.0]]))
    assert task.score(answers, right_answers(np.arange(5.0))) == pytest.approx(1.0)


def test_recipe_form_reads_back() -> None:
    form = {
        "text_classification": {
            "data": {"reviews": {"train": 50}},
            "text": ["text"],
            "metric": "f1",
            "regression": False,
            "subset": {"rows": 9},
        }
    }
    task = Task.parse(form)
    assert task.recipe_form() == {"text_classification": {**form["text_classification"], "text": "text"}}
    assert Task.parse(task.recipe_form()) == task
    assert hash(Task.parse(task.recipe_form())) == hash(task)


def test_rows_are_cut_at_the_length(task: TextClassification) -> None:
    short = task.model_copy(update={"max_length": 5})
    assert short.encode(task.load(0).evaluation, tiny_tokenizer())["input_ids"].shape == (24, 5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_what_the_tokenizer_pads(task: TextClassification, side: str) -> None:
    tokenizer = tiny_tokenizer(segments=True)
    tokenizer.padding_side = side
    rows = task.load(0).train
    encoded = task.encoded(rows, tokenizer)
    batch = encoded.batch([7, 0, 30])
    tokenizer.padding_side = "right"  # as every batch is padded: on the left it would change answers
    expected = tokenizer([rows[i]["text"] for i in (7, 0, 30)], padding=True, return_tensors="pt")
    assert all(torch.equal(batch[name], expected[name]) for name in expected)
    assert batch["row_id"].tolist() == [rows[i]["row_id"] for i in (7, 0, 30)]
    assert batch["labels"].tolist() == [rows[i]["label"] for i in (7, 0, 30)]
    tokenizer.padding_side = side
    assert task.encoded(rows, tokenizer) is encoded
