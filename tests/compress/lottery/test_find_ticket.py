"""The stage from end to end on a tiny task: what it leaves, what it resumes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress.core.errors import InputError
from compress.core.fit.plan import TrainPlan
from compress.core.model.fingerprint import base_fingerprint
from compress.factorize.stage import Factorize
from compress.lottery.find_ticket import FindTicket
from compress.lottery.search import state_of
from compress.lottery.ticket import read_ticket
from tests.compress.lottery.bench import PLAN, context, tiny_task
from tests.tiny import tiny_bundle
from tests.tiny.stages import predicted, refused

pytestmark = pytest.mark.xdist_group("lottery")  # what they share is dear, and made once

STAGE = {"rounds": 2, "rate": 0.5, "seeds": [0, 1], "batches": 2, "train": PLAN}
CONTROLS = ["random_mask", "shuffled_weights", "reinitialised"]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return tiny_task(tmp_path_factory.mktemp("data"))


def bundle():
    return tiny_bundle("bert", num_hidden_layers=2)


class Watched:
    """Remembers the weights that each training begins with, and may break off."""

    def __init__(self, ctx, *, most: int = 99):
        self.fit, self.most, self.begun = ctx.fit, most, {}
        ctx.fit = self

    def __call__(self, bundle, objective, plan, *, name, **settings):
        if len(self.begun) == self.most:
            raise KeyboardInterrupt
        masks = {path: mask.clone() for path, mask in bundle.masks.items()}
        self.begun[name] = (state_of(bundle.model), masks)
        return self.fit(bundle, objective, plan, name=name, **settings)


def run(task, root: Path, **settings):
    stage = FindTicket.model_validate({**STAGE, **settings})
    ctx = context(task, root)
    watched = Watched(ctx)
    return stage.run(bundle(), ctx), ctx, watched


def tickets(root: Path) -> dict[str, Path]:
    return {str(path.relative_to(root)): path for path in sorted(root.rglob("round-*.safetensors"))}


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    """A search with all controls, in one go."""
    return run(task, tmp_path_factory.mktemp("whole"), controls=CONTROLS)


def test_the_result_is_the_last_ticket_trained(whole):
    result, *_ = whole
    total = sum(mask.numel() for mask in result.masks.values())
    assert sum(int(mask.sum()) for mask in result.masks.values()) == total // 4
    assert result.states == {"head_trained", "masked"} and not result.fresh
    for name, mask in result.masks.items():
        assert not result.model.get_parameter(name)[~mask].any()
    assert result.changes[-1].summary(result.sketch())["weights"]["kept"] == total // 4


def test_a_round_is_trained_as_if_no_other_had_been(whole, task, tmp_path):
    """Its optimiser, its schedule and what it draws are its own: the same training alone leads to the same bits."""
    result, _, watched = whole
    alone, ctx = bundle(), context(task, tmp_path)
    start, masks = watched.begun["seed-0/ticket-02"]
    alone.model.load_state_dict(start)
    alone.masks = masks
    ctx.fit(alone, ctx.task_objective(), TrainPlan(**PLAN), name="alone", seed=0)
    for name, tensor in state_of(alone.model).items():
        assert torch.equal(tensor, result.model.state_dict()[name])


def test_each_round_and_seed_leaves_its_ticket_with_the_fingerprint_of_the_start(whole):
    _, ctx, _ = whole
    left = tickets(ctx.left / "tickets")
    assert set(left) == {f"seed-{seed}/round-{number:02d}.safetensors" for seed in (0, 1) for number in (1, 2)}
    ticket = read_ticket(left["seed-1/round-02.safetensors"])
    fresh = bundle()
    assert ticket.model == base_fingerprint(fresh.model, fresh.family)
    assert ticket.facts == {"rate": 0.5, "rewind": "beginning", "prune": "elements", "seed": 1, "round": 2}


def test_every_training_begins_at_the_starting_weights_where_they_are_kept(whole):
    _, _, watched = whole
    start = state_of(bundle().model)
    for name, (begun, masks) in watched.begun.items():
        if "shuffled" in name or "reinitialised" in name:
            continue
        for path, tensor in begun.items():
            expected = start[path] * masks[path] if path in masks else start[path]
            assert torch.equal(tensor, expected), (name, path)
    assert len(watched.begun) == 2 * (1 + 2 + 2 * len(CONTROLS))


def test_the_facts_have_each_size_with_its_scores_and_judgements(whole):
    _, ctx, _ = whole
    found = ctx.facts["lottery"]
    assert found["metric"] == "accuracy" and found["seeds"] == [0, 1] and len(found["full"]["scores"]) == 2
    assert list(found["lines"]) == ["ticket", *CONTROLS]
    assert [point["remaining"] for point in found["lines"]["ticket"]] == [0.5, 0.25]
    for point in found["lines"]["ticket"]:
        assert point["within_one_deviation"] in (True, False) and point["strictly"] in (True, False)
        assert point["interval"][0] <= point["difference"] <= point["interval"][1]
    for name in CONTROLS:
        assert all("ticket_above" in point and len(point["scores"]) == 2 for point in found["lines"][name])
    assert [each["round"] for each in found["overlap"]] == [1, 2]
    assert all(0 < each["kept"] <= 1 and each["chance_kept"] < 1 for each in found["overlap"])


def test_what_the_fits_left_is_thrown_away(whole):
    _, ctx, _ = whole
    assert not list((ctx.scratch / "seed-0").glob("*")) and not list((ctx.scratch / "seed-1").glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("rewind", ["beginning", {"step": 3}, "learning_rate"])
def test_an_interrupted_search_ends_as_one_that_was_not(task, tmp_path, rewind):
    settings = {"rewind": rewind, "seeds": [0], "controls": ["random_mask"]}
    expected, ctx, _ = run(task, tmp_path / "whole", **settings)
    stage, again, done = FindTicket.model_validate({**STAGE, **settings}), None, 0
    for most in (1, 1, 2, 9):
        again = context(task, tmp_path / "parts")
        fit = Watched(again, most=most)
        try:
            result = stage.run(bundle(), again)
        except KeyboardInterrupt:
            done += len(fit.begun)
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(result.model.state_dict()[name], tensor), name
    assert done and again.facts["lottery"] == ctx.facts["lottery"]
    one, other = tickets(ctx.left), tickets(again.left)
    assert one.keys() == other.keys() and all(one[name].read_bytes() == other[name].read_bytes() for name in one)


def test_rewinding_to_a_step_begins_where_the_full_model_was_then(task, tmp_path):
    *_, watched = run(task, tmp_path, rewind={"step": 3}, seeds=[0], controls=["random_mask"])
    start = state_of(bundle().model)
    caught = {name: state for name, (state, _) in watched.begun.items() if name != "seed-0/full"}
    dense = next(name for name in start if name not in watched.begun["seed-0/ticket-01"][1] and "classifier" in name)
    values = [state[dense] for state in caught.values()]
    assert len(values) == 4 and all(torch.equal(value, values[0]) for value in values)
    assert not torch.equal(values[0], start[dense])


def test_heads_and_networks_go_as_a_whole(task, tmp_path):
    from compress.lottery.units import units_left

    result, ctx, _ = run(task, tmp_path, prune="heads_and_ffn", seeds=[0], rounds=1)
    units = units_left(result, result.masks | {})
    assert (len(units.heads), len(units.networks)) == (4, 1)
    assert ctx.facts["lottery"]["lines"]["ticket"][0]["remaining"] == 0.5


def test_the_round_that_is_asked_for_is_the_result(task, tmp_path):
    result, *_ = run(task, tmp_path, round=1, seeds=[0])
    kept, of = (sum(int(f(m)) for m in result.masks.values()) for f in (torch.sum, torch.numel))
    assert kept * 2 == of


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "greater than 0"),
        ({"rate": 1.0}, "less than 1"),
        ({"round": 3}, "beyond the 2 rounds"),
        ({"rewind": {"step": 9}, "train": {"max_steps": 5}}, "no weights of step 9"),
        ({"rewind": {"step": 0}}, "greater than or equal to 1"),
        ({"seeds": [1, 1]}, "given twice"),
        ({"seeds": []}, "at least 1"),
        ({"controls": ["random_mask", "random_mask"]}, "given twice"),
        ({"controls": ["random"]}, "one of: random_mask"),
    ],
)
def test_bad_settings_are_found_when_the_stage_is_read(settings, message):
    with pytest.raises(ValueError, match=message):
        FindTicket.model_validate({**STAGE, **settings})


def test_a_step_beyond_the_training_on_these_rows_is_found_before_any_work(task):
    stage = FindTicket.model_validate({**STAGE, "rewind": {"step": 7}})
    with pytest.raises(InputError, match="the training has 6 steps"):
        stage.check(bundle(), task)
    FindTicket.model_validate({**STAGE, "rewind": {"step": 6}}).check(bundle(), task)


@pytest.mark.parametrize("state", ["quantized", "adapted", "masked", "shared"])
def test_a_model_that_cannot_be_pruned_is_refused(state):
    given = bundle()
    given.states = frozenset({state})
    assert "find_ticket cannot work on" in refused(FindTicket(), given.sketch())
    assert refused(FindTicket(), bundle().sketch()) is None


def test_factors_in_place_of_linears_are_refused():
    given = bundle()
    stage = Factorize.model_validate({"what": "linears", "rank": 6, "recover": "none"})
    factors = predicted(stage, given)
    assert "put `merge_factors` before this stage" in refused(FindTicket(), factors.sketch())


def test_the_guess_has_the_size_of_the_result(whole):
    result, *_ = whole
    given = bundle()
    given.model.to("meta")
    stage = FindTicket.model_validate(STAGE)
    guessed = predicted(stage, given)
    kept = [sum(int(mask.sum()) for mask in each.masks.values()) for each in (guessed, result)]
    assert kept[0] == kept[1] and guessed.states == result.states
