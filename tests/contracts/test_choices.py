"""Every choice inside a stage: the stage that takes it does with it what it declares."""

from __future__ import annotations

import pytest
import torch

from compress.core.stage.stage import Stage
from recipes.file.catalogue import sets
from tests.contracts.members import made
from tests.contracts.stages import assert_does_what_it_declares, tiny_task
from tests.tiny import tiny_settings

FINETUNE = {"train": {"max_steps": 4}}
LINEARS = {"what": "linears", "recover": "none"}
IN_STAGES = {
    "losses": lambda form: {"distill": {"student": {"layers": 2}, "losses": [form]}},
    "decompositions": lambda form: {"factorize": {**_fitting(form), "rank": 6, "by": form, "recover": "none"}},
    "ranks": lambda form: {"factorize": {**LINEARS, "rank": form}},
    "origins": lambda form: {"share": {"by": form, "recover": "none"}},
    "schedules": lambda form: {"finetune": {**FINETUNE, "during": {"gradual": {"to": 0.5, "schedule": form}}}},
    "during": lambda form: {"finetune": {**FINETUNE, "during": form}},
    "methods": lambda form: {"finetune": {**FINETUNE, "method": form}},
}
"""Kind -> the stage that takes one of them."""
SLOW = {"methods", "losses"}
"""Kinds that have a training for each member; tests of their own try them on every family."""


def _fitting(form) -> dict:
    fits = sets()["decompositions"].parse(form).fits
    return {"what": "linears" if "linears" in fits else "embeddings"}


def members(*kinds: str) -> list:
    return [
        pytest.param(kind, name, marks=[pytest.mark.slow] if kind in SLOW else [], id=f"{kind}-{name}")
        for kind in kinds
        for name in sets()[kind].members()
    ]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return tiny_task(tmp_path_factory.mktemp("task"))


@pytest.mark.parametrize(("kind", "name"), members(*IN_STAGES))
def test_its_stage_does_what_it_declares(kind, name, task, tmp_path):
    stage = tiny_settings(Stage.parse(IN_STAGES[kind](made(kind, name).recipe_form())))
    assert_does_what_it_declares(stage, "bert", task, tmp_path)


@pytest.mark.parametrize("pattern", sets()["patterns"].members())
@pytest.mark.parametrize("criterion", sets()["criteria"].members())
def test_a_criterion_keeps_exactly_as_much_of_a_pattern_as_is_asked(criterion, pattern, task, tmp_path):
    chosen, by = made("patterns", pattern), made("criteria", criterion)
    if why := by.refuses(chosen, "uniform"):
        pytest.skip(why)
    form = {"pattern": chosen.recipe_form(), "criterion": by.recipe_form(), "sparsity": chosen.own_sparsity() or 0.5}
    assert_does_what_it_declares(Stage.parse({"prune": {**form, "recover": "none"}}), "bert", task, tmp_path)


@pytest.mark.parametrize("name", sets()["schedules"].members())
def test_a_schedule_goes_all_the_way_and_never_back(name):
    schedule = made("schedules", name)
    shares = [schedule.share(step / 20) for step in range(21)]
    assert shares[0] == 0 and shares[-1] == pytest.approx(1)
    assert shares == sorted(shares)


@pytest.mark.parametrize("name", sets()["controls"].members())
def test_a_control_is_as_large_as_the_ticket(name):
    draw = torch.Generator().manual_seed(0)
    ticket = {"a": torch.rand(6, 8, generator=draw) > 0.3, "b": torch.rand(4, 6, generator=draw) > 0.6}
    found = made("controls", name).masks(ticket, draw)
    assert found.keys() == ticket.keys()
    assert sum(int(mask.sum()) for mask in found.values()) == sum(int(mask.sum()) for mask in ticket.values())
    assert all(mask.shape == ticket[key].shape for key, mask in found.items())
