from statistics import stdev

from recipes.record import Report, Row, Size, Speed
from recipes.report.headline import headline
from recipes.report.table.speed_points import points
from recipes.report.table.table import is_prediction, table
from tests.recipes.report.sample import failed, predicted, quickstart, three_seeds


def cells(report: Report, id: str, kind: str = "row") -> dict:
    return next(line.cells for line in table(report).lines if line.id == id and line.kind == kind)


def test_numbers_stand_with_units_and_intervals() -> None:
    row = cells(quickstart(), "openvino")
    assert (row["size"].text, row["size"].detail) == ("15.6 MB", "5.8×")
    assert (row["quality"].text, row["quality"].detail) == ("92.4 %", "[90.7, 93.9]")
    assert (row["difference"].text, row["difference"].detail) == ("−1.8 pp", "[−3.1, −0.5]")
    assert (row["speed 0"].text, row["speed 0"].extra) == ("8.4×", "15.9 ms")


def test_a_difference_inside_its_interval_is_no_gain_and_no_loss() -> None:
    assert cells(quickstart(), "distill")["difference"].tone == "noise"
    assert cells(quickstart(), "fewer_heads")["difference"].tone == "noise"
    assert cells(quickstart(), "prune")["difference"].tone == "loss"


def test_a_ratio_whose_interval_holds_one_is_noise() -> None:
    speed = Speed(
        batch_size=1, sequence_length=128, median_seconds=0.01, p95_seconds=0.02, examples_per_second=100,
        ratio=1.04, ratio_interval=(0.97, 1.1), repeats=9, threads=2,
    )  # fmt: skip
    row = Row(id="a", stage="a", size=Size(bytes=1, parameters=1), speed=[speed])
    assert cells(Report(name="r", recipe={}, rows=[row]), "a")["speed 0"].tone == "noise"


def test_the_first_point_is_the_busiest_and_the_second_a_single_request() -> None:
    assert points(quickstart())[:2] == [("cpu", 8, 128), ("cpu", 1, "data")]
    assert len(points(quickstart())) == 4


def test_several_seeds_have_their_mean_and_standard_deviation() -> None:
    report = three_seeds()
    values = [row.quality.value for row in report.rows if row.id == "prune" and row.quality]
    mean = cells(report, "prune", "mean")
    assert len(values) == 3
    assert mean["quality"].text == f"{sum(values) / 3 * 100:.1f} %"
    assert mean["quality"].detail == f"± {stdev(values) * 100:.1f} %"
    assert [line.kind for line in table(report).lines if line.id == "prune"] == ["row", "row", "row", "mean"]
    assert "seed" in [column.key for column in table(report).columns]
    assert "seed" not in [column.key for column in table(quickstart()).columns]


def test_many_tests_against_one_baseline_are_adjusted() -> None:
    report = quickstart()
    row = next(row for row in report.rows if row.quality and row.quality.p_value is not None)
    report.rows = [each for each in report.rows if each.baseline or each is row]
    few = [column.detail for column in table(report).columns if column.key == "p"]
    assert few == [""] and cells(report, row.id)["p"].detail == ""
    for number in range(5):
        quality = row.quality.model_copy(update={"p_value": 0.01 * (number + 1)})
        report.rows.append(row.model_copy(update={"id": f"other-{number}", "quality": quality}))
    assert [column.detail for column in table(report).columns if column.key == "p"] == ["Holm"]
    assert float(cells(report, "other-0")["p"].detail.split()[-1]) > 0.01


def test_only_a_report_of_check_is_a_prediction() -> None:
    assert is_prediction(predicted())
    assert not any(is_prediction(report) for report in (quickstart(), three_seeds(), failed()))
    assert not is_prediction(Report(name="empty", recipe={}))


def test_a_failed_stage_has_a_line() -> None:
    assert cells(failed(), "distill", "failed")["id"].detail == "failed"


def test_headlines_state_what_was_measured() -> None:
    assert headline(quickstart()) == (
        "openvino: 15.6 MB in place of 90.9 MB (5.8× smaller); 8.4× as fast [8.0, 8.7] at batch 8, length 128; "
        "accuracy 92.4 % against 94.2 %: −1.8 pp [−3.1, −0.5] on 1,000 examples."
    )
    assert headline(three_seeds()).startswith("distill, mean of 3 seeds ± standard deviation: 69.6 MB")
    assert headline(predicted()).startswith("Predicted, nothing was run")
    assert "no other row was measured" in headline(failed())
    assert headline(Report(name="empty", recipe={})) == "No stage has finished."


def test_a_row_no_better_than_one_answer_is_said_to_be_so() -> None:
    report = quickstart().model_copy(update={"budget": []})
    assert not any(line.kind == "constant" for line in table(report).lines), "reports of before do not know it"
    rows = {row.id: row for row in report.rows if row.quality}
    for row in rows.values():
        row.quality.constant, row.quality.commonest = 0.512, 0.5
    fast = rows["openvino"].quality
    fast.value, fast.interval, fast.commonest = 0.53, (0.505, 0.55), 0.93
    found = table(report)
    assert cells(report, "one answer for all", "constant")["quality"].text == "51.2 %"
    ((name, note),) = [line for line in found.footnotes if "one answer" in line[1]]
    assert name == "openvino"
    assert (
        note
        == "not shown to be better than one answer for every row (accuracy 51.2 %): 93 % of its answers are the same"
    )
    assert not headline(report).startswith("openvino"), "the fastest row is not praised whatever it answers"


def test_a_headline_does_not_sell_noise() -> None:
    report = quickstart().model_copy(update={"budget": []})
    report.rows = [row for row in report.rows if row.id in {"finetune", "distill"}]
    assert "a difference within noise: −0.4 pp [−1.7, +0.9]" in headline(report)


def test_a_headline_of_deltas_names_the_smallest_that_loses_nothing() -> None:
    report = quickstart().model_copy(update={"budget": []})
    report.rows = [row for row in report.rows if row.id in {"finetune", "distill", "prune", "fewer_heads"}]
    for row, bytes_ in zip(report.rows[1:], (305_000, 116_000, 400_000), strict=True):
        row.size = row.size and row.size.model_copy(update={"bytes": 90_870_000 + bytes_, "delta_bytes": bytes_})
    assert headline(report).startswith("distill: a delta of 305 kB on a base of 90.9 MB; "), "prune loses 1.7 points"
    report.rows = [row for row in report.rows if row.id in {"finetune", "prune"}]
    assert headline(report).startswith("prune: a delta of 116 kB")
