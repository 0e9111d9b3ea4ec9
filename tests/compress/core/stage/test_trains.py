"""What fine-tuning and distillation share."""

import pytest
from pydantic import ValidationError

from compress.core.stage.trains import Trains
from tests.compress.distill.stub import trained
from tests.tiny.stages import declared


def training():
    from recipes.file.catalogue import sets

    return [kind for kind in sets()["stages"].members().values() if issubclass(kind, Trains)]


DURING = {"gradual": {"to": 0.5}}


@pytest.mark.parametrize("kind", training(), ids=lambda kind: kind.name)
def test_the_plan_and_what_goes_on_inside_are_the_last_settings(kind):
    names = list(kind.model_fields)
    assert names[-1] == "during" and "train" in names[-3:]


@pytest.mark.parametrize("kind", training(), ids=lambda kind: kind.name)
def test_what_goes_on_inside_is_part_of_the_declaration(kind):
    sketch = trained().sketch()
    plain, masking = declared(kind(), sketch), declared(kind.model_validate({"during": DURING}), sketch)
    assert masking.forbids > plain.forbids and masking.otherwise["shared"] == "leave out `during`"
    after = masking.applied(trained().to("meta"))
    assert "masked" in after.states and after.states >= plain.adds


@pytest.mark.parametrize("kind", training(), ids=lambda kind: kind.name)
def test_an_early_stop_hinders_gradual_pruning(kind):
    with pytest.raises(ValidationError, match="patience"):
        kind.model_validate({"during": DURING, "train": {"patience": 2}})
