"""The study of good, random and bad subnetworks from end to end on a tiny task."""

import pytest
import torch

from compress.lottery.compare_subnetworks import CompareSubnetworks
from compress.lottery.ticket import read_ticket
from compress.lottery.units import units_left
from tests.compress.lottery.bench import PLAN, context, tiny_task
from tests.compress.lottery.test_find_ticket import Watched, bundle
from tests.tiny.stages import refused

# What they share is dear, and made once.
pytestmark = [pytest.mark.xdist_group("subnetworks"), pytest.mark.slow]

STAGE = {"keeps": 0.8, "heads": 0.25, "seeds": [0, 1], "batches": 2, "train": {**PLAN, "epochs": 4}}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return tiny_task(tmp_path_factory.mktemp("data"), rows=160)


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    ctx = context(task, tmp_path_factory.mktemp("whole"))
    return CompareSubnetworks.model_validate(STAGE).run(bundle(), ctx), ctx


def test_all_three_have_one_size_and_two_measurements(whole):
    _, ctx = whole
    found = ctx.facts["lottery"]
    good = found["subnetworks"]["good"]
    assert all(each["heads"] == good["heads"] for each in found["subnetworks"].values())
    assert all(each["networks"] == good["networks"] for each in found["subnetworks"].values())
    assert all(
        len(each[state]["scores"]) == 2 for each in found["subnetworks"].values() for state in ("cut", "trained")
    )


def test_the_good_one_keeps_its_share_when_it_is_cut(whole):
    _, ctx = whole
    found = ctx.facts["lottery"]
    for cut, full in zip(found["subnetworks"]["good"]["cut"]["scores"], found["full"]["scores"]):
        assert cut >= 0.8 * full


def test_the_result_is_the_good_one_of_the_first_seed_trained(whole):
    result, ctx = whole
    ticket = read_ticket(ctx.left / "tickets" / "seed-0" / "good.safetensors")
    masks = ticket.masks_named(result)
    assert all(torch.equal(result.masks[name], mask) for name, mask in masks.items())
    units, found = units_left(result, masks), ctx.facts["lottery"]["subnetworks"]["good"]
    assert (len(units.heads), len(units.networks)) == (found["heads"][0], found["networks"][0])
    assert {"head_trained", "masked"} <= result.states


@pytest.mark.slow
def test_an_interrupted_study_ends_as_one_that_was_not(task, whole, tmp_path):
    expected, ctx = whole
    stage = CompareSubnetworks.model_validate(STAGE)
    for most in (2, 3, 9):
        again = context(task, tmp_path)
        Watched(again, most=most)
        try:
            result = stage.run(bundle(), again)
        except KeyboardInterrupt:
            continue
    assert again.facts["lottery"] == ctx.facts["lottery"]
    assert all(torch.equal(result.model.state_dict()[n], t) for n, t in expected.model.state_dict().items())


def test_a_model_that_holds_masks_is_refused():
    given = bundle()
    given.states = frozenset({"masked"})
    assert "compare_subnetworks cannot work on" in refused(CompareSubnetworks(), given.sketch())
