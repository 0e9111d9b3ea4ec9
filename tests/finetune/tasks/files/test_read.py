"""What the readers take from a file, and what they refuse with its line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from compress.core.errors import InputError
from finetune.tasks.files.read import read_file

WANTED = ("text", "label")


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "texts", "lines"),
    [
        ("a.csv", 'text,label\n"one, ""two""\nthree",1\n\nfour,0\n', ['one, "two"\nthree', "four"], [2, 5]),
        ("a.csv", "\ufefftext,label\r\none,1\r\n", ["one"], [2]),
        ("a.csv", "label,,text,\n1,x,5\" disk,\n", ['5" disk'], [2]),
        ("a.csv", "text,label\n1984,1\n007,0\n", ["1984", "007"], [2, 3]),
        ("a.csv", f"text,label\n{'x' * 200_000},1\n", ["x" * 200_000], [2]),
        ("a.tsv", 'text\tlabel\n"one\t1\ntwo, x\t0\r\n', ['"one', "two, x"], [2, 3]),
        ("a.jsonl", '{"text": "2020-01-01", "label": 1}\n\n{"label": 0, "text": "a\u2028b", "n": {}}\n',
         ["2020-01-01", "a\u2028b"], [1, 3]),
        ("a.json", '[{"text": "a", "label": 1},\n {"text": "b", "label": 0}]', ["a", "b"], None),
        ("a.json", '{\n "text": "a",\n "label": 1\n}', ["a"], None),
    ],
)  # fmt: skip
def test_rows_and_their_lines(
    tmp_path: Path, name: str, content: str, texts: list[str], lines: list[int] | None
) -> None:
    read = read_file(written(tmp_path / name, content), WANTED)
    assert read.values["text"] == texts
    assert read.lines == lines


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "label,text,label\n1,a,0\n", "a.csv:1: two columns are called 'label': columns 1 and 3"),
        ("a.csv", "text,label\n0,a,1\n", "a.csv:2: the row has 3 cells, and the header names 2 columns: text, label"),
        ("a.csv", "text,label\na,1\nb\n", "a.csv:3: the row has 1 cells"),
        ("a.csv", 'text,label\na,1\n"b,0\nc,1\n"d,0\n', "a.csv:3 to 5: the row cannot be read as comma-separated"),
        ("a.csv", 'text,label\na,1\n"b,0\nc,1\n', "a.csv:3 to 4: the row cannot be read as comma-separated"),
        ("a.tsv", "text\tlabel\na\t1\tx\n", "a.tsv:2: the row has 3 cells"),
        ("a.csv", "text;label\na;1\n", "a.csv:1: the header names one column, 'text;label': the cells seem to be"),
        ("a.csv", "text\tlabel\na, b\t1\n", "a.csv:2: the row has 2 cells"),
        ("a.csv", "text,label\n", "the file has no rows"),
        ("a.csv", b"text,label\na,1\ncaf\xe9,0\n", "a.csv:3: the line is not UTF-8: byte 0xe9"),
        ("a.jsonl", b'{"text": "caf\xe9", "label": 0}\n', "a.jsonl:1: the line is not UTF-8"),
        ("a.tsv", b"text\tlabel\na\0b\t1\n", "a.tsv:2: the line holds a NUL byte"),
        ("a.csv", "text,label\na,1\n".encode("utf-16"), "the file is UTF-16"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "a.jsonl:2: the file cannot be read as json"),
        ("a.jsonl", '{"text": "a", "label": 1, "label": 0}\n', "a.jsonl:1: one row has two values called 'label'"),
        ("a.jsonl", '{"text": "a", "label": 1}\n["b", 0]\n', "a.jsonl:2: the row is no object: ['b', 0]"),
        ("a.jsonl", "[" * 100_000, "a.jsonl: the file cannot be read as json: it is nested too deeply"),
        ("a.json", '{"text": ["a", "b"], "label": [0, 1]}', "one object of columns (text, label), not rows"),
        ("a.parquet", "text,label\n", "the file cannot be read as parquet"),
        ("a.csv.gz", "text,label\na,1\n", "the file cannot be read: Not a gzipped file"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-9], "cannot be read: Compressed file"),
        ("a.txt", "a", "unknown kind of data file 'a.txt'"),
    ],
)  # fmt: skip
def test_refusals_name_the_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_file(written(tmp_path / name, content), WANTED)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 800


def test_only_the_columns_that_are_wanted_are_kept(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    rows = {"text": ["a", "b"], "label": [0, 1], "more": [[1, 2], [3]]}
    of = Features(text=Value("string"), label=ClassLabel(names=["no", "yes"]), more=[Value("int64")])
    Dataset.from_dict(rows, features=of).to_parquet(tmp_path / "a.parquet")
    written(tmp_path / "b.jsonl", json.dumps({"text": "a", "label": 0, "more": [1, 2]}))
    for name in ("a.parquet", "b.jsonl"):
        read = read_file(tmp_path / name, WANTED)
        assert set(read.names) == {"text", "label", "more"}
        assert set(read.values) == {"text", "label"}
    assert read_file(tmp_path / "a.parquet", WANTED).class_names == {"label": ("no", "yes")}


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\na,1\n")
    assert read_file(path, WANTED).values["text"] == ["a"]
    time = path.stat().st_mtime_ns
    written(path, "text,label\nb,1\n")
    os.utime(path, ns=(time, time))
    assert read_file(path, WANTED).values["text"] == ["b"]


def test_quotation_marks_of_a_tsv_are_text_and_pointed_out(tmp_path: Path) -> None:
    read = read_file(written(tmp_path / "a.tsv", 'text\tlabel\n"a ""b"""\t1\n"\t0\n'), WANTED)
    assert read.values["text"] == ['"a ""b"""', '"']
    assert read.remarks == ("a.tsv: 1 cells stand in quotation marks, which are text in .tsv; .csv would remove them",)
