from compress.core.stage.exhibit import loss_curve
from recipes.report.facts import flat
from recipes.report.plots.curves import small_curve
from recipes.report.stages import as_yaml, stages
from tests.recipes.report.sample import NASTY, quickstart, row


def test_nested_facts_are_named_by_all_their_levels_and_have_units() -> None:
    facts = {"memory_bytes": 8e9, "wait_seconds": 0.25, "losses": {"labels": 0.12345678}, "gpu": [], "held": True}
    assert flat(facts) == [
        ("memory", "8.00 GB"), ("wait", "250 ms"), ("losses, labels", "0.1235"), ("gpu", "none"), ("held", "yes"),
    ]  # fmt: skip


def test_long_lists_are_summed_up() -> None:
    assert flat({"importance": [[0.5] * 20, [0.1, *([2.0] * 20)]]}) == [("importance", "41 values from 0.1 to 2")]
    assert flat({"losses": ["labels", "soft_targets"]}) == [("losses", "labels, soft_targets")]


def test_a_loss_curve_is_drawn_small_and_named_in_words() -> None:
    (shown,) = loss_curve([2.0, 1.5, 1.2, 1.0, 0.9], of="recovery")
    drawn = small_curve(shown)
    assert drawn.caption == "Recovery, loss curve: from 2.00 to 0.900, 5 points; the line below is 0."
    assert drawn.svg.count(",") >= 5
    assert "<script" not in small_curve(shown.model_copy(update={"title": NASTY})).svg
    assert loss_curve([1.0]) == ()


def test_settings_are_the_engine_s_note_or_else_the_recipe_s() -> None:
    report = quickstart()
    report.rows.append(row("prune-2", "prune", "prune", facts={"settings": {"prune": {"sparsity": 0.75}}}))
    views = {view.id: view for view in stages(report, most_inputs=5)}
    assert views["prune-2"].settings == "sparsity: 0.75"
    assert views["fewer_heads"].settings == "pattern: heads\nsparsity: 0.5"
    assert views["fewer_heads"].badges == ["on distill"]
    assert views["source"].settings == ""
    assert len(views["prune"].runs[0].changed) == 5


def test_the_second_stage_of_a_name_is_numbered_as_in_the_plan() -> None:
    report = quickstart()
    report.recipe = {"stages": ["finetune", {"prune": {"sparsity": 0.1}}, {"prune": {"sparsity": 0.2}}]}
    report.rows = [row("prune", "prune", "finetune"), row("prune-2", "prune", "prune")]
    assert [view.settings for view in stages(report, most_inputs=0)] == ["sparsity: 0.1", "sparsity: 0.2"]


def test_a_recipe_is_in_the_order_of_the_book() -> None:
    assert as_yaml({"budget": {"size": 5}, "model": "m", "name": "n"}) == "name: n\nmodel: m\nbudget: {size: 5}"
