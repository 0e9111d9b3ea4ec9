"""What a row is measured against, and which files are written."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from compress.core.answers import Answers, write_answers
from compress.core.stage.exhibit import loss_curve
from recipes.engine.encoding import ENCODING
from recipes.engine.evidence import MACHINE, OTHER_MACHINE, Evidence
from recipes.engine.execute import REFERENCE_LOGITS
from recipes.engine.finished_stages import Done
from recipes.engine.folder import Folder
from recipes.record import Cost
from recipes.report.facts import flat
from recipes.stage_record import StageRecord

HERE = {**dict.fromkeys(MACHINE, "x"), "threads": 2}


def evidence(*, rows: str = "e", environment=HERE, form: str = "task of 32 tokens") -> Evidence:
    splits = SimpleNamespace(fingerprints={"evaluation": rows}, evaluation={"label": [0, 1]})
    task = SimpleNamespace(
        targets=lambda rows: Answers(np.array([3, 4]), np.array(rows["label"])), recipe_form=lambda: form
    )
    return Evidence(SimpleNamespace(task=task), None, splits, environment)


@pytest.fixture
def done(tmp_path):
    (tmp_path / REFERENCE_LOGITS).touch()
    return SimpleNamespace(directory=tmp_path, record=SimpleNamespace(reference=evidence().reference_marks()))


def test_a_reload_gives_the_same_bits_where_they_are_computed_alike(done):
    assert evidence()._reference(done) == (done.directory / REFERENCE_LOGITS, 0.0)


def test_what_is_known_of_a_stage_stands_in_its_row(tmp_path, monkeypatch):
    told = {"rows": 3, "of": 20, "share": 0.15}
    (shown,) = loss_curve([1.0, 0.5])
    record = StageRecord(
        id="trim", stage="trim_vocabulary", start="source", seed=0, settings="trim_vocabulary", identity="i", states=[],
        cost=Cost(seconds=1.0), facts={ENCODING: told}, notes=["15.0% of the evaluation texts"], exhibits=[shown],
    )  # fmt: skip
    outcome = SimpleNamespace(size=None, speeds=[], load_seconds=None, resident_bytes=None, sha256=None, notes=["slow"])
    found = Evidence(None, SimpleNamespace(relative=str), None, HERE)
    monkeypatch.setattr(found, "_measured", lambda *_: outcome)
    monkeypatch.setattr(found, "_is_baseline", lambda _: False)
    row = found.row(Done(Folder(tmp_path, "01-trim"), record, reused=False), parent=None, runtime_reference=None)
    assert row.facts == {ENCODING: told, "settings": "trim_vocabulary"} and row.exhibits == [shown]
    assert row.notes == ["15.0% of the evaluation texts", "slow"]
    assert ("encoded differently, rows", "3") in flat(row.facts)


@pytest.mark.parametrize("change", [{"threads": 4}, {"cpu": "another"}, {"instructions": []}])
def test_another_machine_adds_up_in_another_order(done, change):
    assert evidence(environment={**HERE, **change})._reference(done)[1] == OTHER_MACHINE


def test_logits_of_other_evaluation_rows_are_compared_with_nothing(done):
    assert evidence(rows="f")._reference(done)[0] is None
    assert (
        evidence()._reference(SimpleNamespace(directory=done.directory, record=SimpleNamespace(reference=None)))[0]
        is None
    )


def test_logits_for_another_length_are_compared_with_nothing(done):
    """A source without a trained head is the same for every length, and a second run takes it from the first."""
    assert evidence(form="task of 64 tokens")._reference(done)[0] is None


@pytest.mark.parametrize("trained", [True, False])
def test_logits_of_an_older_version_count_where_the_identity_has_the_task(done, trained):
    made = evidence().reference_marks().model_copy(update={"task": None})
    older = SimpleNamespace(directory=done.directory, record=SimpleNamespace(reference=made, head_trained=trained))
    assert (evidence()._reference(older)[0] is not None) == trained


def test_a_file_that_another_run_shares_is_replaced_and_not_written_into(tmp_path):
    measured, mine, others = tmp_path / "measured.npz", tmp_path / "mine.npz", tmp_path / "others.npz"
    others.write_bytes(b"of another run")
    os.link(others, mine)
    write_answers(measured, Answers(np.array([3, 4]), np.zeros((2, 2))))
    evidence()._keep_answers(measured, mine)
    assert others.read_bytes() == b"of another run"
    with np.load(mine) as kept:
        assert kept["row_ids"].tolist() == [3, 4] and kept["labels"].tolist() == [0, 1]
