"""A training that has no room begins again with smaller batches, and ends as one that was asked for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.model.evaluation import Batch
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.fit import make_fit
from finetune.training.out_of_memory import is_out_of_memory, smaller
from tests.finetune.fits import CPU, EVERY_STEP, ONE_EPOCH, Interrupted, StopAfter, Sums, same_bits
from tests.tiny import tiny_bundle

MESSAGES = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 268435456 bytes."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
)


class Room:
    """The task's objective, on a machine with room for so many rows."""

    def __init__(self, task: TextClassification, rows: int, *, after: int = 0, error: Exception = MESSAGES[1]):
        self.task, self.rows, self.left, self.error = task, rows, after, error
        self.sizes: list[int] = []

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        self.sizes.append(len(batch["labels"]))
        self.left -= 1
        if self.left < 0 and len(batch["labels"]) > self.rows:
            raise self.error
        return self.task.objective(model, batch)


def test_what_says_that_memory_ran_out() -> None:
    assert all(is_out_of_memory(error) for error in MESSAGES)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    ("plan", "expected"),
    [((32, 1), (16, 2)), ((16, 2), (8, 4)), ((6, 1), (3, 2)), ((3, 2), (1, 6)), ((5, 1), (1, 5)), ((1, 32), None)],
)
def test_a_step_keeps_its_rows(plan: tuple[int, int], expected: tuple[int, int] | None) -> None:
    size, accumulation = plan
    found = smaller(TrainPlan(batch_size=size, accumulation=accumulation))
    assert (found and (found.batch_size, found.accumulation)) == expected


@pytest.mark.parametrize(
    "error",
    [pytest.param(error, marks=[pytest.mark.slow] if number else []) for number, error in enumerate(MESSAGES)],
    ids=lambda error: str(error)[:20],
)
def test_it_ends_as_one_that_was_asked_for_smaller_batches(
    task: TextClassification, splits: Splits, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    said: list[tuple[int, ...]] = []
    monkeypatch.setattr("finetune.training.out_of_memory.log.warning", lambda text, *sizes: said.append(sizes))
    sums, expected_sums = Sums(), Sums()
    bundle, expected = (tiny_bundle("bert", num_hidden_layers=2) for _ in range(2))
    room = Room(task, 2, after=5, error=error)
    result = make_fit(task, splits, seed=0, device=CPU)(bundle, room, ONE_EPOCH, hooks=[sums])
    asked = ONE_EPOCH.model_copy(update={"batch_size": 2, "accumulation": 4})
    plain = make_fit(task, splits, seed=0, device=CPU)(expected, task.objective, asked, hooks=[expected_sums])
    assert same_bits(bundle.model, expected.model)
    assert torch.equal(sums.total, expected_sums.total)
    assert result.notes == {**plain.notes, "batch_size_used": 2, "accumulation_used": 4}
    assert result.steps == plain.steps
    assert said == [(8, 4, 2), (4, 2, 4)]


def test_what_is_not_for_want_of_memory_is_raised(task: TextClassification, splits: Splits) -> None:
    room = Room(task, 2, error=RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        make_fit(task, splits, seed=0, device=CPU)(tiny_bundle("bert"), room, ONE_EPOCH)
    assert len(room.sizes) == 1


def test_below_one_row_it_gives_up_with_advice(task: TextClassification, splits: Splits) -> None:
    room = Room(task, 0)
    with pytest.raises(StageFailed, match="one row") as caught:
        make_fit(task, splits, seed=0, device=CPU)(tiny_bundle("bert"), room, ONE_EPOCH)
    assert room.sizes == [8, 4, 2, 1]
    assert "--memory" in str(caught.value)
    assert is_out_of_memory(caught.value.__cause__ or ValueError())


def test_an_interrupted_retry_goes_on_with_what_had_room(
    task: TextClassification, splits: Splits, tmp_path: Path
) -> None:
    def fitted(room: Room, directory: Path | None, *hooks: Hook) -> nn.Module:
        bundle = tiny_bundle("bert", num_hidden_layers=2)
        fit = make_fit(task, splits, seed=0, device=CPU, directory=directory, checkpointing=EVERY_STEP)
        found = fit(bundle, room, ONE_EPOCH, hooks=[*hooks])
        assert found.notes["batch_size_used"] == 4
        return bundle.model

    unbroken = fitted(Room(task, 4), None, StopAfter(10**9))
    with pytest.raises(Interrupted):
        fitted(Room(task, 4), tmp_path, StopAfter(7))
    again = Room(task, 4)
    assert same_bits(unbroken, fitted(again, tmp_path, StopAfter(10**9)))
    assert max(again.sizes) == 4, "the batch that had no room is not tried again"
    taken_up = Room(task, 4)
    assert same_bits(unbroken, fitted(taken_up, tmp_path, StopAfter(10**9)))
    assert taken_up.sizes == [], "a finished fit is not trained again"
    assert not list(tmp_path.glob("*.start"))
