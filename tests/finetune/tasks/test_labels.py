"""Labels as classes or numbers: what a column of cells says, and what it cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress.core.errors import InputError
from finetune.tasks.columns import Table
from finetune.tasks.labels import LabelSet, find_labels
from finetune.tasks.values import as_numbers


def table(labels: list[Any], **settings: Any) -> Table:
    return Table("train", "train.csv", (["word"] * len(labels),), labels, lines=range(2, len(labels) + 2), **settings)


def cells(*labels: str) -> Table:
    """Cells of a csv file."""
    return table(as_numbers(labels), untyped=True)


def found(rows: Table, given: tuple[str, ...] = (), regression: bool | None = None) -> LabelSet:
    return find_labels(rows, given=given, regression=regression)


@pytest.mark.parametrize(
    ("rows", "given", "names", "numbers"),
    [
        (cells("10", "9", "10"), (), ("9", "10"), [1, 0, 1]),
        (table(["10", "9", "10"]), (), ("9", "10"), [1, 0, 1]),
        (cells("true", "false"), (), ("False", "True"), [1, 0]),
        (cells("pos", "neg ", "neg"), (), ("neg", "pos"), [1, 0, 0]),
        (cells("0", "1"), ("1", "0"), ("1", "0"), [1, 0]),
        (cells("0", "1"), ("bad", "good"), ("bad", "good"), [0, 1]),
        (cells("1", "2", "3+"), ("1", "2", "3+"), ("1", "2", "3+"), [0, 1, 2]),
        (table([0.0, 1, 0]), (), ("0", "1"), [0, 1, 0]),
        (table([10**400, 2, 10**400]), (), ("2", str(10**400)), [1, 0, 1]),
        (table([True, False]), (), ("False", "True"), [1, 0]),
        (table([1, 0], class_names=("no", "yes")), (), ("no", "yes"), [1, 0]),
    ],
)  # fmt: skip
def test_names_and_numbers(rows: Table, given: tuple[str, ...], names: tuple[str, ...], numbers: list[int]) -> None:
    labels = found(rows, given)
    assert labels.names == names
    assert labels.numbers(rows).tolist() == numbers


@pytest.mark.parametrize("rows", [cells("0", "0.5", "2"), table([0, 0.5, 2])])
def test_a_fraction_makes_a_regression(rows: Table) -> None:
    labels = found(rows)
    assert labels.regression
    assert np.allclose(labels.numbers(rows), [0, 0.5, 2])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (cells("0.5", "1", "N/A", "2"), "train.csv:4: the label of row 2 is 'N/A', and a regression needs finite"),
        (cells("0", "1", "1", "N/A"), "train.csv:5: 1 of 4 labels is no number among others: 'N/A', first in row 3"),
        (cells("a", "b", "7", "a"), "train.csv:4: 1 of 4 labels is a number among others: '7'"),
        (table([0, 1, "1"]), "train.csv:4: 1 of 3 labels is no number among others: '1'"),
        (table([0.5, 10**400]), "the label of row 1 is 1000"),
        (table([[0, 1], [1]]), "train.csv:2: the label of row 0 is a list, [0, 1], and a row has one label"),
        (table([{"a": 0}, 1]), "the label of row 0 is a dict"),
        (cells("a", " ", "b"), "train.csv:3: 1 rows have no label, first row 1"),
        (table(["a\x1b[31m", "b"]), "the label of row 0 holds a control character: 'a\\x1b[31m'"),
        (table(["a" * 9999, 5]), "the label of row 0 is a text of 9,999 characters: 'aaa"),
        (table([0, 1, True]), "train.csv:4: 1 of 3 labels is no number among others: True"),
        (cells(*(f"0,{i}" for i in range(120))), "train.csv: 120 different labels in 120 rows: these are no classes"),
    ],
)
def test_what_a_column_cannot_say(rows: Table, message: str) -> None:
    with pytest.raises(InputError) as caught:
        found(rows).numbers(rows)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


def test_another_file_may_spell_a_number_otherwise() -> None:
    labels = found(cells("0", "1"))
    assert labels.numbers(table(["1.0", "0"], untyped=True)).tolist() == [1, 0]
    with pytest.raises(InputError, match="labels outside the set: 'N/A' \\(1 rows\\), first in row 1"):
        labels.numbers(cells("1", "N/A"))
    with pytest.raises(InputError, match="'POS' is 'pos' but for its case"):
        found(cells("pos", "neg")).numbers(cells("POS"))


def test_blanks_and_case_are_pointed_out() -> None:
    labels = found(cells("pos", "pos ", "neg", "Neg"))
    assert labels.names == ("Neg", "neg", "pos")
    assert labels.remarks == (
        "labels: 1 rows have blanks around 'pos', which were removed (in train)",
        "labels: 'Neg', 'neg' differ by their case alone and are different classes (in train)",
    )


def test_a_list_has_each_label_once() -> None:
    rows = cells("pos", "neg")
    assert found(rows, ("pos ", "neg")).names == ("pos", "neg")
    with pytest.raises(InputError, match="`labels:` lists 'pos' twice"):
        found(rows, ("pos", "neg", "pos "))


def test_a_list_in_another_order_than_the_datas_names_is_matched_by_name() -> None:
    rows = table([0, 1, 0], class_names=("no", "yes"))
    assert found(rows, ("yes", "no")).numbers(rows).tolist() == [1, 0, 1]
    assert found(rows, ("bad", "good")).numbers(rows).tolist() == [0, 1, 0]


def test_listed_labels_without_a_row_are_said() -> None:
    labels = found(table(["negative", "positive"] * 4), ("negative", "neutral", "positive"))
    assert labels.remarks == ("the head has 3 labels, and train has rows of 2: none is neutral",)
    assert found(table(["negative", "positive"] * 4), ("negative", "positive")).remarks == ()
