"""Data files: damaged tables and records of every format, read for a task and encoded."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.tasks.task import Task
from tests.fuzz.mutations import ODD, ODD_TEXTS, damaged_bytes
from tests.fuzz.outcome import assert_survives, inputs
from tests.tiny import tiny_rows

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fuzz_data")]
ROWS = [{"text": row["text"], "label": row["label"]} for row in tiny_rows(24, 0)]
FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "csv.gz", "jsonl.gz")
TABLE = {"text": "text", "label": "label"}
FORMS = (
    {}, TABLE, {"text": "nope"}, {"text": "text", "label": "text"}, {"text": "text", "select": "test"},
    {**TABLE, "labels": ["0", "1"]}, {**TABLE, "regression": True},
)  # fmt: skip


def written(ending: str) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    lines = [json.dumps(row) for row in ROWS]
    between = "\t" if ending == "tsv" else ","
    table = "\n".join([f"text{between}label", *(f"{row['text']}{between}{row['label']}" for row in ROWS)])
    if ending == "parquet":
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(ROWS), sink)
        return sink.getvalue().to_pybytes()
    text = {"json": f"[{','.join(lines)}]", "jsonl": "\n".join(lines)}.get(ending.removesuffix(".gz"), table)
    return gzip.compress(text.encode(), mtime=0) if ending.endswith(".gz") else text.encode()


WHOLE = {ending: written(ending) for ending in FORMATS}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz_data")


def read(place: Path, form: dict, ending: str, content: bytes) -> None:
    for file in place.iterdir():
        file.unlink()
    for split in ("train", "validation"):
        (place / f"{split}.{ending}").write_bytes(content if split == "train" else WHOLE[ending])
    task = Task.parse({"text_classification": {"data": str(place), **form}})
    task.check()
    splits = task.load(0)
    task.texts(splits.train)


@inputs(500)
@given(data=st.data(), ending=st.sampled_from(FORMATS), form=st.sampled_from(FORMS))
def test_damaged_files(place, data, ending, form):
    content = data.draw(damaged_bytes(WHOLE[ending]))
    assert_survives(lambda: read(place, form, ending, content))


CELLS = st.one_of(ODD, st.sampled_from(ODD_TEXTS), st.sampled_from([0, 1, "0", "1", "good"]))
ODD_ROWS = st.lists(
    st.dictionaries(st.sampled_from(["text", "label", "", "idx", "x\0"]), CELLS, max_size=3), max_size=6
)


@inputs(250)
@given(rows=ODD_ROWS, ending=st.sampled_from(["json", "jsonl"]), form=st.sampled_from(FORMS), whole=st.booleans())
def test_odd_rows(place, rows, ending, form, whole):
    lines = [json.dumps(row) for row in [*rows, *(ROWS if whole else [])]]
    text = f"[{','.join(lines)}]" if ending == "json" else "\n".join(lines)
    assert_survives(lambda: read(place, form, ending, text.encode()))
