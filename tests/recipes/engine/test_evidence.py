"""What a row is measured against, and which files are written."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from recipes.engine.encoding import ENCODING
from recipes.engine.evidence import MACHINE, OTHER_MACHINE, REFERENCE_LOGITS, Evidence
from recipes.measure.logits import write_logits
from recipes.report.facts import flat

HERE = {**dict.fromkeys(MACHINE, "x"), "threads": 2}


def evidence(*, rows: str = "e", environment=HERE) -> Evidence:
    splits = SimpleNamespace(fingerprints={"evaluation": rows}, evaluation={"label": [0, 1]})
    return Evidence(None, None, splits, environment)


@pytest.fixture
def done(tmp_path):
    (tmp_path / REFERENCE_LOGITS).touch()
    return SimpleNamespace(directory=tmp_path, facts={"reference": evidence().reference_marks()})


def test_a_reload_gives_the_same_bits_where_they_are_computed_alike(done):
    assert evidence()._reference(done) == (done.directory / REFERENCE_LOGITS, 0.0)


def test_texts_that_are_cut_otherwise_stand_in_the_row(tmp_path, monkeypatch):
    told = {"rows": 3, "of": 20, "share": 0.15}
    facts = {
        "id": "trim", "stage": "trim_vocabulary", "start": "source", "seed": 0, "runtime": "pytorch",
        "precision": "fp32", "cost": {"seconds": 1.0}, "facts": {"vocabulary": {"rows": 64, "of": 82}}, "cut": {},
        "settings": "trim_vocabulary", "notes": ["15.0% of the evaluation texts"], ENCODING: told,
    }  # fmt: skip
    done = SimpleNamespace(directory=tmp_path, facts=facts, identity="i", reused=False, head_trained=False)
    outcome = SimpleNamespace(size=None, speeds=[], load_seconds=None, resident_bytes=None, sha256=None, notes=[])
    found = Evidence(None, SimpleNamespace(relative=str), None, HERE)
    monkeypatch.setattr(found, "_measured", lambda *_: outcome)
    monkeypatch.setattr(found, "_is_baseline", lambda _: False)
    row = found.row(done, parent=None, runtime_reference=None)
    assert row.facts[ENCODING] == told and row.notes == ["15.0% of the evaluation texts"]
    assert ("encoded differently, rows", "3") in flat(row.facts)


@pytest.mark.parametrize("change", [{"threads": 4}, {"cpu": "another"}, {"instructions": []}])
def test_another_machine_adds_up_in_another_order(done, change):
    assert evidence(environment={**HERE, **change})._reference(done)[1] == OTHER_MACHINE


def test_logits_of_other_evaluation_rows_are_compared_with_nothing(done):
    assert evidence(rows="f")._reference(done)[0] is None
    assert evidence()._reference(SimpleNamespace(directory=done.directory, facts={}))[0] is None


def test_a_file_that_another_run_shares_is_replaced_and_not_written_into(tmp_path):
    measured, mine, others = tmp_path / "measured.npz", tmp_path / "mine.npz", tmp_path / "others.npz"
    others.write_bytes(b"of another run")
    os.link(others, mine)
    write_logits(measured, [3, 4], np.zeros((2, 2)))
    evidence()._keep_logits(measured, mine)
    assert others.read_bytes() == b"of another run"
    with np.load(mine) as kept:
        assert kept["row_ids"].tolist() == [3, 4] and kept["labels"].tolist() == [0, 1]
