"""A search, a control and a transfer as a run of the engine."""

from __future__ import annotations

import json

import pytest
import torch

from compress.core.checkpoint.save import load
from compress.core.errors import InputError
from compress.lottery.ticket import read_ticket
from recipes.engine.run import run
from recipes.file.recipe import Recipe
from recipes.plan.predict import check
from tests.recipes.engine.tiny_run import recipe_data, write_data

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tickets")]

TRAIN = {"max_steps": 6, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}
SEARCH = {"find_ticket": {"start": "source", "rounds": 2, "rate": 0.5, "seeds": [0], "train": TRAIN}}
CONTROL = {"apply_ticket": {"start": "source", "found_by": "find_ticket", "control": "random_mask"}}
STAGES = [{"finetune": {"train": TRAIN}}, SEARCH, CONTROL, {"finetune": {"id": "again", "train": TRAIN}}]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("lottery")
    data = recipe_data(root, STAGES)
    return root, data, run(Recipe.parse(data), out=root / "runs" / "one", device="cpu")


def three_labels(directory):
    """The same texts, told apart by how many words they have."""
    write_data(directory)
    for file in directory.iterdir():
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        lines = [json.dumps({"text": each["text"], "label": len(each["text"].split()) % 3}) for each in rows]
        file.write_text("\n".join(lines), "utf-8")
    return directory


def row(report, id):
    return next(row for row in report.rows if row.id == id)


def test_the_tickets_lie_in_the_stages_directory_and_do_not_count_as_the_model(made):
    root, _, report = made
    assert not report.failed
    directory = root / "runs" / "one" / row(report, "find_ticket").path
    assert len(list((directory / "tickets").rglob("round-*.safetensors"))) == 2
    assert not list((root / "runs" / "one" / "stages").glob(".*.partial"))


def test_a_masked_model_is_trained_and_measured_with_its_zeros(made):
    _, _, report = made
    dense, ticket, control = (row(report, id).size for id in ("finetune", "find_ticket", "again"))
    cut = [dense.nonzero_parameters - size.nonzero_parameters for size in (ticket, control)]
    assert cut[0] == pytest.approx(cut[1], rel=0.001) and cut[0] > 0.7 * 4 * 2 * (4 * 32 * 32 + 2 * 32 * 48) / 2


def test_the_report_has_the_search_and_the_ticket_that_was_put_on(made):
    root, _, report = made
    assert [point["remaining"] for point in row(report, "find_ticket").facts["lottery"]["lines"]["ticket"]] == [
        0.5,
        0.25,
    ]
    assert row(report, "apply_ticket").facts["ticket"]["remaining"] == 0.25
    assert "Tickets of find\\_ticket" in (root / "runs" / "one" / "report.md").read_text("utf-8")


def test_a_ticket_of_another_run_is_named_by_its_file_and_belongs_to_the_identity(made):
    root, data, report = made
    file = next((root / "runs" / "one" / row(report, "find_ticket").path / "tickets").rglob("round-01.safetensors"))
    copy = root / "ticket.safetensors"
    copy.write_bytes(file.read_bytes())
    other = {**data, "stages": [{"apply_ticket": {"ticket": str(copy)}}, {"finetune": {"train": TRAIN}}]}
    first = run(Recipe.parse(other), out=root / "runs" / "two", device="cpu")
    assert not first.failed and row(first, "apply_ticket").facts["ticket"]["round"] == 1
    copy.write_bytes(file.with_name("round-02.safetensors").read_bytes())
    second = run(Recipe.parse(other), out=root / "runs" / "two", device="cpu")
    assert row(second, "apply_ticket").facts["ticket"]["round"] == 2
    assert row(second, "finetune").size.nonzero_parameters < row(first, "finetune").size.nonzero_parameters


def test_a_ticket_is_trained_on_a_task_with_other_labels(made):
    root, data, report = made
    file = next((root / "runs" / "one" / row(report, "find_ticket").path / "tickets").rglob("round-02.safetensors"))
    task = {"text_classification": {**data["task"]["text_classification"], "data": str(three_labels(root / "three"))}}
    stages = [{"apply_ticket": {"ticket": str(file)}}, {"finetune": {"train": TRAIN}}]
    out = root / "runs" / "transfer"
    found = run(Recipe.parse({**data, "task": task, "stages": stages}), out=out, device="cpu")
    assert not found.failed and row(found, "finetune").quality.value > 0
    begun, trained = (load(out / row(found, id).path) for id in ("apply_ticket", "finetune"))
    masks = read_ticket(file).masks_named(trained)
    assert trained.config.num_labels == 3 and trained.masks.keys() == begun.masks.keys() == masks.keys()
    for name, mask in masks.items():
        weight = trained.model.get_parameter(name)
        assert torch.equal(trained.masks[name], mask) and not weight[~mask].any()
        assert not torch.equal(weight, begun.model.get_parameter(name))


def test_a_check_predicts_without_training(made):
    _, data, _ = made
    rows = check(Recipe.parse(data)).rows
    assert [row.id for row in rows][-3:] == ["find_ticket", "apply_ticket", "again"]
    assert rows[-1].size.bytes == pytest.approx(rows[-3].size.bytes, rel=0.01)
    assert rows[-1].size.bytes < 0.9 * rows[0].size.bytes


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"found_by": "finetune"}, "'finetune' cannot be the stage of 'found_by': it leaves no tickets"),
        ({"found_by": "source"}, "it leaves no tickets"),
        ({"found_by": "find_ticket", "round": 3}, "its search has 2 rounds, and none of the number 3"),
        ({"found_by": "find_ticket", "seed": 1}, "its search runs with the seeds 0, and not with 1"),
    ],
)
def test_a_ticket_that_the_search_cannot_leave_is_refused_before_any_work(tmp_path, named, message):
    data = recipe_data(tmp_path, [*STAGES[:2], {"apply_ticket": {"start": "source", **named}}])
    with pytest.raises(InputError, match=message):
        check(Recipe.parse(data))


def test_a_file_that_is_no_ticket_is_refused_before_any_work(made, tmp_path):
    _, data, _ = made
    (tmp_path / "none.safetensors").write_bytes(b"")
    stages = [{"apply_ticket": {"ticket": str(tmp_path / "none.safetensors")}}]
    with pytest.raises(InputError, match="damaged"):
        check(Recipe.parse({**data, "stages": stages}))
