"""Directories that we saved, with one or two damaged files: a model with changes and masks, and deltas on a base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import finetune
from compress.core.checkpoint.save import load, save
from compress.core.model.bundle import Bundle, Tuned
from compress.core.model.change import Nothing
from compress.core.surgery.heads_and_neurons import keep_heads
from finetune.delta.opening import open_directory
from finetune.delta.record import base_fingerprint
from finetune.method import Method
from tests.contracts.cuts import some_heads
from tests.finetune.methods.steps import few_steps
from tests.fuzz.mutations import damage_file
from tests.fuzz.outcome import assert_survives, inputs
from tests.fuzz.test_models import copied
from tests.tiny import tiny_bundle, tiny_inputs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fuzz_saved")]
DELTAS = {"bitfit": "bitfit", "lora": "lora", "houlsby": {"houlsby": {"width": 8}}}
KINDS = ("changed", "masked", *DELTAS)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("fuzz_saved")
    changed = tiny_bundle("bert")
    keep_heads(changed.model, changed.family, some_heads(changed))
    save(changed, root / "changed")
    masked = tiny_bundle("bert")
    name = next(name for name, value in masked.model.named_parameters() if value.dim() == 2 and "query" in name)
    weight = masked.model.get_parameter(name).data
    masked.masks = {name: torch.rand_like(weight) > 0.5}
    weight.mul_(masked.masks[name])
    save(masked, root / "masked")
    base = tiny_bundle("bert")
    save(base, root / "base")
    for name, form in DELTAS.items():
        finetune.save_delta(tuned(base, Method.parse(form)), root / name, base=root / "base")
    return root


def tuned(base: Bundle, method: Method) -> Bundle:
    after = base.copy()
    change = method.change(after.sketch())
    after = after if isinstance(change, Nothing) else after.changed_by(change)
    names = method.trainable(after)
    few_steps(after, names)
    after.tuned = Tuned(method.name, names, 0, base_fingerprint(base.model, base.family))
    return after


@inputs(300)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_saved_directories(place, data, kind):
    damages = data.draw(st.lists(damage_file(place / kind), min_size=1, max_size=2))
    directory = copied(place / kind, place / "damaged", damages)
    assert_survives(lambda: asked(directory))


@inputs(100)
@given(data=st.data(), kind=st.sampled_from(sorted(DELTAS)))
def test_bases_of_deltas(place, data, kind):
    damages = data.draw(st.lists(damage_file(place / "base"), min_size=1, max_size=2))
    shutil.rmtree(place / "moved", ignore_errors=True)
    copied(place / "base", place / "moved" / "base", damages)
    directory = copied(place / kind, place / "moved" / kind, [])
    assert_survives(lambda: asked(directory))


@torch.no_grad()
def asked(directory: Path) -> None:
    bundle = open_directory(directory)
    bundle.model(**tiny_inputs(bundle))
    assert_survives(lambda: load(directory))
