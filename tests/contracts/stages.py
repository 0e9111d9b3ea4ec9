"""What a stage must hold on a model: it does what it declares, leaves the rest alone, and its result loads again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress.core.checkpoint.save import load, save
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration
from compress.core.stage.stage import Stage
from finetune.context import make_context
from finetune.tasks.text_classification import TextClassification
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_bundle, tiny_logits, tiny_rows, tiny_settings

__all__ = ["assert_does_what_it_declares", "counts", "declared", "tiny_stage", "tiny_task"]

BRINGS = {
    "adapted": {"finetune": {"method": "lora"}},
    "quantized": {"finetune": {"method": "lora", "base": "int8"}},
    "shared": {"share": {"recover": "none"}},
    "factorized": {"factorize": {"what": "linears", "rank": {"ratio": 0.5}, "recover": "none"}},
    "masked": {"prune": {"pattern": "elements", "sparsity": 0.5, "criterion": "magnitude", "recover": "none"}},
}
"""State -> the stage that brings it into a model, for the stages that need it."""
COUNTS = ("parameters", "layers", "hidden", "heads", "neurons", "vocabulary", "positions", "bytes")


def tiny_task(folder: Path) -> TextClassification:
    """A few rows of two labels on disk."""
    write_rows(folder / "train.jsonl", tiny_rows(64, seed=0))
    write_rows(folder / "validation.jsonl", tiny_rows(24, seed=1))
    return TextClassification(data=str(folder), max_length=24)


def context(task: TextClassification, folder: Path) -> Context:
    """What the engine would hand to the stage; a teacher or a best row is the model itself."""
    for name in ("scratch", "left"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ctx = make_context(task, task.load(0), seed=0, device=torch.device("cpu"), scratch=folder / "scratch")
    ctx.left = folder / "left"
    return ctx


def tiny_stage(state: str) -> Stage:
    """The stage that brings a state."""
    assert state in BRINGS, f"say in BRINGS which stage makes a model {state}"
    return tiny_settings(Stage.parse(BRINGS[state]))


def given(stage: Stage, family: str, task: TextClassification, folder: Path) -> Bundle:
    """A tiny model with a trained head, and with the states that the stage needs."""
    bundle = tiny_bundle(family)
    bundle.states = frozenset({"head_trained"})
    for state in sorted(stage.declare(bundle.sketch(), {}).needs - bundle.states):
        adds = declared(tiny_stage(state), bundle.sketch()).adds
        bundle = tiny_stage(state).run(bundle, context(task, folder / state))
        bundle.states |= adds
    return bundle


def declared(stage: Stage, sketch: Sketch) -> Declaration:
    """What the stage declares; the test is skipped where it refuses such a model."""
    found = stage.declare(sketch, {})
    if why := found.why_not(sketch, stage=stage.name):
        assert len(why) > 20, "a refusal is a sentence"
        pytest.skip(why)
    return found


def counts(sketch: Sketch) -> dict[str, object]:
    """What a declared change must say exactly."""
    return {name: getattr(sketch, name) for name in COUNTS}


def assert_counts(now: dict[str, object], expected: dict[str, object], *, masked: int) -> None:
    """Equal, but for the rounding of a share to whole weights, one in each masked matrix."""
    assert {**now, "bytes": None} == {**expected, "bytes": None}
    assert abs(now["bytes"] - expected["bytes"]) <= 4 * masked


def assert_does_what_it_declares(stage: Stage, family: str, task: TextClassification, folder: Path) -> None:
    """Counts are the declared ones, what is not trained keeps its bits, and the saved model gives the same logits."""
    bundle = given(stage, family, task, folder / "given")
    found = declared(stage, bundle.sketch())
    expected = counts(found.applied(bundle.copy()).sketch())
    before = {name: parameter.detach().clone() for name, parameter in bundle.model.named_parameters()}
    after = stage.run(bundle, context(task, folder / "run"))
    assert isinstance(after, Bundle)
    if not found.uncertain:
        assert_counts(counts(after.sketch()), expected, masked=len(after.masks))
    moved = found.moves(after)
    if moved is not None:
        still = {name: p for name, p in after.model.named_parameters() if name in before and name not in moved}
        assert [name for name, p in still.items() if not torch.equal(p, before[name])] == []
    if "adapted" not in after.states:
        opened = load(save(after, folder / "saved"))
        assert torch.equal(tiny_logits(opened), tiny_logits(after))
        assert counts(opened.sketch()) == counts(after.sketch())
