"""Pruning again and again with training between, and units by their importance: as runs of the engine."""

from __future__ import annotations

import pytest
import torch

from compress.core.checkpoint.save import load
from compress.core.model.matrices import block_matrices
from compress.prune.selection import kept_count
from recipes.engine.run import run
from recipes.file.recipe import Recipe
from tests.recipes.engine.tiny_run import recipe_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("iterative")]

TRAIN = {"max_steps": 6, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}
CUT = {"pattern": "elements", "criterion": "magnitude", "recover": "none"}
SHARES = {"half": 0.5, "most": 0.75}
HEADS = {"id": "heads", "start": "tuned", "pattern": "heads", "sparsity": 0.5, "criterion": {"taylor": {"batches": 2}}}
STAGES = [
    {"finetune": {"id": "tuned", "train": TRAIN}},
    {"prune": {**CUT, "id": "half", "sparsity": SHARES["half"]}},
    {"finetune": {"id": "half-tuned", "train": TRAIN}},
    {"prune": {**CUT, "id": "most", "sparsity": SHARES["most"]}},
    {"finetune": {"id": "most-tuned", "train": TRAIN}},
    {"prune": {**HEADS, "recover": "none"}},
    {"prune": {**HEADS, "id": "neurons", "pattern": "neurons", "recover": "none"}},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("iterative")
    report = run(Recipe.parse(recipe_data(root, STAGES)), out=root / "out", device="cpu")
    assert not report.failed
    return root / "out", {row.id: row for row in report.rows}


@pytest.mark.parametrize("id", SHARES)
def test_each_matrix_keeps_its_count_exactly_and_training_holds_the_masks(made, id):
    out, rows = made
    cut, trained = (load(out / rows[name].path) for name in (id, f"{id}-tuned"))
    assert cut.masks.keys() == trained.masks.keys() == block_matrices(cut).keys()
    for name, mask in cut.masks.items():
        weight = trained.model.get_parameter(name)
        assert int(mask.sum()) == kept_count(mask.numel(), SHARES[id])
        assert torch.equal(trained.masks[name], mask) and not weight[~mask].any()
        assert not torch.equal(weight, cut.model.get_parameter(name))


def test_what_the_first_pruning_cut_stays_cut(made):
    out, rows = made
    first, last = (load(out / rows[id].path).masks for id in ("half", "most-tuned"))
    assert all(not bool((mask & ~first[name]).any()) for name, mask in last.items())


@pytest.mark.parametrize(("id", "units"), [("heads", "4 heads"), ("neurons", "48 neurons")])
def test_the_page_shows_what_each_unit_was_worth_and_which_went(made, id, units):
    out, rows = made
    page = (out / "report.html").read_text("utf-8")
    shown = next(shown for shown in rows[id].exhibits if shown.title == f"importance of the {id}")
    count = int(units.split()[0])
    assert [len(row) for row in shown.values] == [count] * 4
    assert [len(kept) for kept in rows[id].cut[id]["kept"]] == [count // 2] * 4
    drawn = [
        part
        for part in page.split("<svg")[1:]
        if part.startswith(' class="cuts heat"') and f"of {count}</text>" in part
    ]
    assert len(drawn) == 1 and drawn[0].count(f"{count // 2} of {count}") == 4
    assert 'class="cut gone"' in drawn[0] and "layer 3: mean" in drawn[0]
    assert f"Importance of the {id}" in page
