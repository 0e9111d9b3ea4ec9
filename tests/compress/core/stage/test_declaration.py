"""What the planner makes of a declaration."""

from dataclasses import replace

from compress.core.fit.plan import DEFAULT_PLAN
from compress.core.model.change import Nothing
from compress.core.stage.declaration import Declaration, Training
from compress.core.surgery.changes import KeepLayers
from tests.tiny import tiny_bundle


def test_a_state_in_the_way_is_said_before_the_stage_s_own_refusal():
    sketch = tiny_bundle("bert").sketch()
    said = Declaration(refusal="there is no room", forbids=frozenset({"masked"}))
    assert said.why_not(sketch, stage="cut") == "there is no room"
    masked = replace(sketch, states=frozenset({"masked"}))
    expected = "cut cannot work on prune-2: it holds masks; put `make_permanent` before this stage"
    assert said.why_not(masked, stage="cut", start="prune-2") == expected
    assert Declaration().why_not(sketch, stage="cut") is None


def test_models_with_a_tuning_that_is_not_merged_are_refused_unless_the_stage_bears_them():
    adapted = replace(tiny_bundle("bert").sketch(), states=frozenset({"adapted"}))
    assert "put `merge` before" in str(Declaration().why_not(adapted, stage="cut"))
    assert Declaration(forbids=frozenset()).why_not(adapted, stage="cut") is None


def test_the_predicted_model_has_the_change_and_the_states_that_are_added():
    said = Declaration(change=KeepLayers(kept=(0,), of=4), adds=frozenset({"head_trained"}))
    after = said.applied(tiny_bundle("bert"))
    assert after.sketch().layers == 1 and after.states == {"head_trained"} and after.changes == (said.change,)
    assert Declaration().change == Nothing()


def test_what_moves_is_a_matter_of_the_training():
    bundle = tiny_bundle("bert")
    assert Declaration().moves(bundle) is None and Declaration(training=Training(DEFAULT_PLAN)).moves(bundle) is None
    some = Training(DEFAULT_PLAN, moves=lambda _: frozenset({"classifier.bias"}))
    assert Declaration(training=some).moves(bundle) == {"classifier.bias"}
