"""The stage: the student, its training, what it refuses."""

import pytest
import torch
from pydantic import ValidationError

from compress.core.errors import InputError, Refusal
from compress.core.families.family import family_of
from compress.core.fit.plan import TrainPlan
from compress.core.model.change import change_from_data
from compress.core.surgery.changes import KeepLayers
from compress.distill.stage import Distill, Student
from tests.compress.distill.stub import stub_context, trained
from tests.tiny import FAMILIES, IMAGE_FAMILIES
from tests.tiny.stages import predicted, refused


def run(stage, tmp_path, bundle=None, **extra):
    ctx = stub_context(tmp_path, **extra)
    return stage.run(bundle or trained(), ctx), ctx


def test_the_student_starts_as_its_teachers_layers(tmp_path):
    teacher = trained()
    student, _ = run(Distill(student=Student(layers=2)), tmp_path, teacher.copy(), steps=0)
    assert student.sketch().layers == 2
    blocks = teacher.family.module_list(teacher.model)
    for kept, block in zip((0, 3), student.family.module_list(student.model)):
        assert all(torch.equal(a, b) for a, b in zip(block.parameters(), blocks[kept].parameters()))
    assert torch.equal(student.model.classifier.weight, teacher.model.classifier.weight)
    assert "head_trained" in student.states and student.changes == (KeepLayers(kept=(0, 3), of=4),)


def test_training_brings_the_student_nearer(tmp_path):
    stage = Distill(losses=("soft_targets", "hidden_states"), train=TrainPlan(epochs=3))
    teacher = trained(attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0)
    student, ctx = run(stage, tmp_path, teacher, steps=25)
    assert ctx.fit.losses[-1] < 0.5 * ctx.fit.losses[0]
    assert ctx.fit.plans[0].epochs == 3 and ctx.fit.plans[0].learning_rate == 1e-4
    assert set(ctx.facts["losses"]) == {"soft_targets", "hidden_states"}
    assert ctx.facts["teacher_outputs"]["outputs"] == "cached"
    assert student.sketch().layers == 2


def test_the_teacher_may_be_an_earlier_stage(tmp_path):
    earlier = trained(seed=9)
    stage = Distill(teacher="finetune", losses=("soft_targets",), train=TrainPlan(epochs=1))
    bundle = trained()
    bundle.states = frozenset()
    assert refused(stage, bundle.sketch()) is None and stage.requires().names == {"teacher": "finetune"}
    student, ctx = run(stage, tmp_path, bundle, earlier={"finetune": lambda: earlier})
    assert ctx.facts["teacher"] == "finetune" and "head_trained" in student.states
    with pytest.raises(InputError, match="no earlier stage"):
        run(stage, tmp_path, trained())


def test_labels_alone_need_no_teacher(tmp_path):
    _, ctx = run(Distill(losses=("labels",)), tmp_path)
    assert "teacher_outputs" not in ctx.facts


WITH_LAYERS = [name for name in FAMILIES if name not in IMAGE_FAMILIES and "layers" not in family_of(name).refusals]


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_guess_is_what_the_student_becomes(name, tmp_path):
    # fp32: DeBERTa masks its bf16 scores with a number that only fp32 holds (transformers 5.23).
    stage, bundle = Distill(train=TrainPlan(epochs=1, precision="fp32")), trained(name)
    before = bundle.sketch()
    assert refused(stage, before) is None
    guessed = predicted(stage, bundle.copy()).sketch()
    student, ctx = run(stage, tmp_path, bundle, steps=1)
    assert student.sketch().parameters == guessed.parameters < before.parameters
    assert all(loss == loss for loss in ctx.fit.losses)


@pytest.mark.parametrize(
    ("stage", "states", "message"),
    [
        ({}, [], "head is not trained"),
        ({}, ["head_trained", "quantized"], "quantized"),
        ({}, ["head_trained", "adapted"], "put `merge` before this stage"),
        ({"student": {"layers": 9}}, ["head_trained"], "9 layers cannot be copied from a model of 4"),
        ({"student": {"layers": [3, 1]}}, ["head_trained"], "rising"),
        ({"losses": [{"hidden_states": {"layers": [[5, 0]]}}]}, ["head_trained"], "outside"),
    ],
)
def test_refusals_say_why(stage, states, message):
    bundle = trained()
    bundle.states = frozenset(states)
    assert message in refused(Distill.model_validate(stage), bundle.sketch())


def test_families_without_layers_of_their_own_refuse():
    assert "albert" in refused(Distill(), trained("albert").sketch())
    assert "first layer" in refused(Distill(student=Student(layers=(1, 2))), trained("t5").sketch())


def test_teachers_that_cannot_be_compared_are_refused(tmp_path):
    stage = Distill(teacher="other")
    with pytest.raises(Refusal, match="2 labels and the teacher 3"):
        run(stage, tmp_path, earlier={"other": lambda: trained(labels=3)})
    with pytest.raises(Refusal, match="equal hidden sizes"):
        run(stage, tmp_path, earlier={"other": lambda: trained(hidden_size=16)})


@pytest.mark.parametrize(
    "bad",
    [{"losses": []}, {"losses": ["soft_target"]}, {"losses": [{"labels": {"weight": 0}}]}, {"student": {"layers": 0}}],
)
def test_settings_are_strict(bad):
    with pytest.raises(ValidationError):
        Distill.model_validate(bad)


def test_recipe_form_reads_back():
    stage = Distill.model_validate(
        {"student": {"layers": 3}, "losses": ["labels", {"soft_targets": {"temperature": 4}}], "train": {"epochs": 5}}
    )
    assert Distill.model_validate(stage.dump()) == stage and hash(stage) == hash(Distill.model_validate(stage.dump()))
    assert stage.dump()["losses"] == ["labels", {"soft_targets": {"temperature": 4.0}}]


def test_the_change_is_plain_data():
    change = KeepLayers(kept=(0, 3), of=4)
    assert change_from_data(change.data()) == change
    assert change.summary(trained().sketch()) == {"layers": {"kept": [0, 3], "of": 4}}
