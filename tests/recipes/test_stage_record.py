import json
import subprocess
import sys
from pathlib import Path

import pytest

from compress.core.stage.exhibit import loss_curve
from recipes.record import Cost
from recipes.stage_record import Named, ReferenceLogits, StageRecord

OLD = Path(__file__).parent / "old" / "stage.json"


def test_a_record_reads_back(tmp_path):
    record = StageRecord(
        id="tuned", stage="finetune", start="source", seed=1, settings={"finetune": {}}, identity="i",
        states=["head_trained"], select_value=0.5, cost=Cost(seconds=1.0), exhibits=list(loss_curve([1.0, 0.5])),
        reference=ReferenceLogits(rows="r", machine={"threads": 2}),
    )  # fmt: skip
    record.write(tmp_path / "stage.json")
    assert StageRecord.read(tmp_path / "stage.json") == record
    assert record.head_trained and record.is_model


def test_a_record_from_before_exhibits_reads():
    record = StageRecord.read(OLD)
    assert record is not None and record.id == "trim_vocabulary" and record.reference is not None
    assert record.facts["encoded_differently"]["rows"] == 2 and len(record.exhibits) == 1
    assert record.counts is not None and record.counts.parameters == 17714


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"identity": "x"}'])
def test_what_is_no_record_is_none(tmp_path, text):
    (tmp_path / "stage.json").write_text(text)
    assert StageRecord.read(tmp_path / "stage.json") is None
    assert StageRecord.read(tmp_path / "none.json") is None


def test_another_recipe_may_call_it_otherwise():
    record = StageRecord.model_validate({**json.loads(_written()), "id": "a"})
    called = record.called(Named(id="b", stage="trim_vocabulary", start="cut", seed=None))
    assert (called.id, called.start, called.seed, called.identity) == ("b", "cut", None, record.identity)


def test_it_needs_no_torch():
    code = "import sys, recipes.stage_record; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _written() -> str:
    record = StageRecord.read(OLD)
    assert record is not None
    return record.model_dump_json()
