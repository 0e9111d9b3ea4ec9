"""Stages that do what they declare."""

import pytest

from compress.core.stage.context import Context
from compress.core.stage.fixed import FixedChange
from compress.core.stage.requires import Requires
from compress.core.stage.stage import Stage
from tests.compress.distill.stub import trained
from tests.tiny.stages import declared, refused


def fixed():
    from recipes.file.catalogue import sets

    return {name: kind for name, kind in sets()["stages"].members().items() if issubclass(kind, FixedChange)}


def test_they_read_nothing_and_train_nothing():
    found = fixed()
    assert {"merge", "make_permanent", "merge_factors", "untie", "trim_positions"} <= set(found)
    for kind in found.values():
        stage = kind.model_validate({"length": 24} if "length" in kind.model_fields else {})
        wanted = stage.requires()
        assert wanted == Requires(explicit_start=wanted.explicit_start)
        assert declared(stage, trained().sketch()).training is None


@pytest.mark.parametrize("name", ["make_permanent", "merge_factors", "untie"])
def test_where_there_is_nothing_to_do_they_may_be_left_out(name):
    assert "leave the stage out" in str(refused(fixed()[name](), trained().sketch()))


def test_running_makes_the_declared_change():
    stage = Stage.parse({"trim_positions": {"length": 24}})
    bundle = trained()
    said = declared(stage, bundle.sketch())
    after = stage.run(bundle.copy(), Context())
    assert after.changes[-1] == said.change and after.sketch() == said.applied(bundle).sketch()
