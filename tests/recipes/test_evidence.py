"""What a row is measured against, and which files are written."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from recipes.evidence import MACHINE, OTHER_MACHINE, REFERENCE_LOGITS, Evidence
from recipes.measure.logits import write_logits

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
