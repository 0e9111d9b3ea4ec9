"""Every stage on every family: what it declares is what it does, and what comes out is saved and opened the same."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from compress.core.model.bundle import Bundle
from compress.core.model.state import STATES
from recipes.file.catalogue import sets
from tests.contracts.members import made
from tests.contracts.stages import assert_does_what_it_declares, declared, tiny_stage, tiny_task
from tests.tiny import FAMILIES, IMAGE_FAMILIES, tiny_bundle

STAGES = tuple(sets()["stages"].members())
QUICK = ("bert",)
TRAIN_OFTEN = {"compare_subnetworks", "find_ticket"}
WITHOUT_AUTOCAST = {"deberta"}
"""Families whose attention in transformers has no gradient under bf16 autocast; `precision: fp32` trains them."""


def some(names, quick) -> list:
    """All names, those that are not quick under `slow`."""
    return [pytest.param(name, marks=[] if quick(name) else pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return tiny_task(tmp_path_factory.mktemp("task"))


@cache
def without_weights(family: str) -> Bundle:
    with torch.device("meta"):
        bundle = tiny_bundle(family)
    bundle.states = frozenset({"head_trained"})
    return bundle


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_declares_itself_on_a_sketch(name, family):
    sketch = without_weights(family).sketch()
    found = made("stages", name).declare(sketch, {})
    assert {*found.needs, *found.forbids, *found.adds} <= set(STATES)
    assert not found.needs & found.forbids
    assert all(isinstance(remark, str) and remark for remark in found.remarks)
    why = found.why_not(sketch, stage=name)
    assert why is None or len(why) > 20, "a refusal is a sentence"


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_its_declared_change_applies_without_weights(name, family):
    stage, bundle = made("stages", name), without_weights(family).copy()
    for state in sorted(stage.declare(bundle.sketch(), {}).needs - bundle.states):
        bundle = declared(tiny_stage(state), bundle.sketch()).applied(bundle)
    found = declared(stage, bundle.sketch())
    bundle = found.applied(bundle)
    assert found.adds <= bundle.sketch().states
    parameters = dict(bundle.model.named_parameters())
    assert all(parameter.is_meta for parameter in parameters.values())
    assert (found.moves(bundle) or frozenset()) <= parameters.keys()


@pytest.mark.parametrize("name", some(STAGES, lambda name: name not in TRAIN_OFTEN))
@pytest.mark.parametrize("family", some([n for n in FAMILIES if n not in IMAGE_FAMILIES], QUICK.__contains__))
def test_it_does_what_it_declares_and_loads_again(name, family, task, tmp_path):
    stage = made("stages", name)
    required = stage.requires()
    if required.reads or required.names:
        pytest.skip(f"{name} works on what an earlier stage left; its example names a file that is not there")
    if required.leaf:
        pytest.skip(f"{name} leaves the model as it is")
    if family in WITHOUT_AUTOCAST and declared(stage, without_weights(family).sketch()).training is not None:
        pytest.skip(f"{family} does not train under bf16 autocast")
    assert_does_what_it_declares(stage, family, task, tmp_path)
