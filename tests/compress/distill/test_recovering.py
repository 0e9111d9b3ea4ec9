"""What the stages that damage a model have in common."""

import pytest

from compress.core.model.change import Nothing
from compress.core.stage.context import Context
from compress.core.stage.declaration import Declaration
from compress.core.stage.requires import Requires
from compress.core.stage.stage import Stage
from compress.distill import recovering
from compress.distill.recovering import Recovering
from recipes.file.catalogue import sets
from tests.tiny import tiny_bundle
from tests.tiny.stages import declared

DAMAGING = [name for name, kind in sets()["stages"].members().items() if issubclass(kind, Recovering)]


class _Damage(Recovering):
    def damage(self, sketch):
        return Declaration()

    def decide(self, bundle, ctx):
        return Nothing()


def test_the_parent_is_no_stage_of_a_recipe():
    stages = sets()["stages"].members()
    assert [name for name, kind in stages.items() if "recover" in kind.model_fields] == DAMAGING != []
    with pytest.raises(TypeError, match="abstract"):
        Recovering()


@pytest.mark.parametrize("name", DAMAGING)
def test_the_recovery_is_the_last_setting(name):
    kind = sets()["stages"].members()[name]
    assert list(kind.model_fields)[-1] == "recover"
    assert list(kind.model_json_schema()["properties"])[-1] == "recover"
    assert list(kind.model_construct().model_dump())[-1] == "recover"


def test_without_a_recovery_there_is_nothing_to_read_or_to_draw():
    stage = _Damage(recover=None)
    sketch = tiny_bundle("bert").sketch()
    assert stage.requires() == Requires() and declared(stage, sketch) == Declaration()
    required, training = _Damage().requires(), declared(_Damage(), sketch).training
    assert required.draws and required.data == {"rows"}
    assert training.plan.epochs == 1 and training.taught and declared(_Damage(), sketch).needs == {"head_trained"}
    assert _Damage not in Stage.members().values()


def test_the_teacher_is_asked_for_before_the_damage_and_the_model_healed_after_it(monkeypatch):
    order = []
    monkeypatch.setattr(recovering, "heal", lambda bundle, *_, teacher: order.append(teacher[0]) or bundle)
    best = tiny_bundle("bert")
    ctx = Context(best=lambda: order.append("asked") or ("earlier", best))
    _Damage().recovered(best, ctx, lambda bundle: order.append("damaged") or bundle)
    assert order == ["asked", "damaged", "earlier"]
    order.clear()
    _Damage(recover="none").recovered(best, ctx, lambda bundle: order.append("damaged") or bundle)
    assert order == ["damaged"]
