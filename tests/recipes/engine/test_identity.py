"""What decides a result is in the identity of a stage, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import compress.factorize.stage
import compress.share.stage
import compress.vocabulary.stage  # noqa: F401
from compress.core.model.head import TaskHead
from compress.core.stage.stage import Stage
from compress.prune.stage import Prune
from finetune.stage import Finetune
from recipes.engine.identity import source_identity, stage_identity

DATA = {"train": "t", "select": "s", "evaluation": "e"}


class Task:
    needs_head = TaskHead.of_labels("sequence_classification", ("0", "1"))

    def __init__(self, form="sst2"):
        self.form = form

    def recipe_form(self):
        return self.form


def of_stage(stage, *, task="sst2", **changes) -> str:
    settings = {
        "parent": "p", "named": {}, "data": DATA, "seed": 0, "random": True, "device": "cpu",
        "recipe": SimpleNamespace(task=Task(task)), "reads": stage.requires().reads, **changes,
    }  # fmt: skip
    return stage_identity(stage, **settings)


CUT = Prune.model_validate({"pattern": "heads", "sparsity": 0.5, "criterion": "magnitude", "recover": None})


@pytest.mark.parametrize("stage", [Finetune(), CUT])
@pytest.mark.parametrize(
    "change",
    [
        {"parent": "q"}, {"named": {"teacher": "x"}}, {"data": {**DATA, "train": "u"}},
        {"data": {**DATA, "select": "u"}},
        {"seed": 1}, {"device": "cuda"}, {"task": "other"},
    ],
)  # fmt: skip
def test_what_decides_a_result_makes_another_stage(stage, change):
    assert of_stage(stage) != of_stage(stage, **change)


def test_what_a_stage_cannot_see_makes_no_other_stage():
    assert of_stage(CUT) == of_stage(CUT, data={**DATA, "evaluation": "f"})
    assert of_stage(CUT, random=False) == of_stage(CUT, random=False, seed=1)
    assert of_stage(CUT) == of_stage(CUT.model_copy(update={"id": "other", "start": "finetune"}))
    assert of_stage(CUT) != of_stage(CUT.model_copy(update={"sparsity": 0.25}))


LEARNING = {
    "trim_vocabulary": {},
    "share": {"groups": 1},
    "convert": {"to": "albert"},
    "factorize": {"what": "embeddings", "rank": 8},
    "prune": {"pattern": "heads", "sparsity": 0.5},
}


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("one text\n")
    return path


@pytest.mark.parametrize("name", LEARNING)
def test_a_file_of_texts_and_a_checkpoint_that_changed_make_another_stage(name, corpus, tmp_path):
    head = tmp_path / "head"
    head.mkdir()
    (head / "config.json").write_text("{}")
    recover = {"by": "mlm", "corpus": str(corpus), "head": str(head)}
    stage = Stage.members()[name].model_validate({**LEARNING[name], "recover": recover})
    first = of_stage(stage)
    corpus.write_text("another text\n")
    second = of_stage(stage)
    (head / "config.json").write_text("{ }")
    assert len({first, second, of_stage(stage)}) == 3


def test_the_words_of_a_file_that_changed_make_another_vocabulary(corpus):
    stage = Stage.members()["trim_vocabulary"].model_validate({"corpus": str(corpus)})
    before = of_stage(stage)
    corpus.write_text("another text\n")
    assert before != of_stage(stage)


def of_source(**changes) -> str:
    settings = {"fingerprint": "sha256:1", "data": DATA, "seed": None, **changes}
    return source_identity(SimpleNamespace(task=Task()), **settings)


def test_a_trained_source_has_its_value_on_select_and_a_fresh_one_has_none():
    other = {**DATA, "select": "u"}
    assert of_source() != of_source(data=other)
    assert of_source(seed=0) == of_source(seed=0, data=other) != of_source(seed=1)
    assert of_source() != of_source(fingerprint="sha256:2")
    assert of_source() == of_source(data={**DATA, "evaluation": "f"})
