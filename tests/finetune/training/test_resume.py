"""An interrupted fit ends as an unbroken one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from tests.finetune.fits import EVERY_STEP, ONE_EPOCH, PLAN, Interrupted, StopAfter, Sums, fitted, same_bits


@pytest.mark.parametrize(("stop", "accumulation"), [(12, 1), (17, 1), (8, 2)])
def test_an_interrupted_fit_ends_with_the_bits_of_an_unbroken_one(
    task: TextClassification, splits: Splits, tmp_path: Path, stop: int, accumulation: int
) -> None:
    plan = PLAN.model_copy(update={"accumulation": accumulation})
    sums, again = Sums(), Sums()
    unbroken, whole = fitted(task, splits, plan, hooks=[sums, StopAfter(10**9)])
    settings = {"directory": tmp_path, "checkpointing": EVERY_STEP}
    with pytest.raises(Interrupted):
        fitted(task, splits, plan, hooks=[Sums(), StopAfter(stop)], **settings)
    resumed, result = fitted(task, splits, plan, hooks=[again, StopAfter(10**9)], **settings)
    assert same_bits(unbroken.model, resumed.model)
    assert result.loss == whole.loss
    assert result.notes == whole.notes
    assert torch.equal(sums.total, again.total)


def test_a_finished_fit_is_taken_up_without_training(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    first, result = fitted(task, splits, ONE_EPOCH, directory=tmp_path)
    again, same = fitted(task, splits, ONE_EPOCH, directory=tmp_path, hooks=[])
    assert same_bits(first.model, again.model)
    assert (same.steps, same.loss, same.notes) == (result.steps, result.loss, result.notes)
    assert not list(tmp_path.glob("**/checkpoint-*"))


def test_what_another_plan_left_is_not_taken_up(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    fitted(task, splits, ONE_EPOCH, directory=tmp_path)
    other = ONE_EPOCH.model_copy(update={"learning_rate": 1e-4})
    fresh, _ = fitted(task, splits, other)
    beside, _ = fitted(task, splits, other, directory=tmp_path)
    assert same_bits(fresh.model, beside.model)


def test_a_checkpoint_cut_off_in_writing_does_not_count(
    task: TextClassification, splits: Splits, tmp_path: Path
) -> None:
    settings = {"directory": tmp_path, "checkpointing": EVERY_STEP}
    with pytest.raises(Interrupted):
        fitted(task, splits, ONE_EPOCH, hooks=[StopAfter(6)], **settings)
    state = next(tmp_path.glob("fit/checkpoint-*/trainer_state.json"))
    state.write_text(state.read_text()[:-40])
    unbroken, _ = fitted(task, splits, ONE_EPOCH)
    resumed, _ = fitted(task, splits, ONE_EPOCH, hooks=[StopAfter(10**9)], **settings)
    assert same_bits(unbroken.model, resumed.model)


def test_an_early_stop_survives_an_interruption(task: TextClassification, splits: Splits, tmp_path: Path) -> None:
    plan = PLAN.model_copy(update={"epochs": 4.0, "patience": 1, "learning_rate": 3e-3})
    unbroken, whole = fitted(task, splits, plan, hooks=[StopAfter(10**9)])
    settings = {"directory": tmp_path, "checkpointing": EVERY_STEP}
    with pytest.raises(Interrupted):
        fitted(task, splits, plan, hooks=[StopAfter(13)], **settings)
    resumed, result = fitted(task, splits, plan, hooks=[StopAfter(10**9)], **settings)
    assert same_bits(unbroken.model, resumed.model)
    assert result.notes == whole.notes
