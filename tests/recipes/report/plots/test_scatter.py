from dataclasses import replace

from recipes.report.plots.scatter import Mark, named, plots
from tests.recipes.report.sample import quickstart


def mark(x: float, y: float, label: str, runtime: str = "pytorch", **more: bool) -> Mark:
    return Mark(x, y, None, (y, y), label, runtime, **more)


def names(marks: list[Mark]) -> list[str]:
    return [mark.label for mark in marks if mark.label]


MANY = [
    mark(90, 88, "full", baseline=True), mark(60, 90, "best"), mark(50, 89, "small"), mark(20, 80, "least"),
    *(mark(61 + place, 70, f"beaten {place}") for place in range(5)), mark(70, 60, "alone of its kind", "onnx"),
]  # fmt: skip


def test_few_rows_are_all_named():
    assert named(MANY[:8], smaller=True) == MANY[:8]


def test_of_many_those_are_named_that_no_other_beats():
    shown = named(MANY, smaller=True)
    assert names(shown) == ["full", "best", "small", "least", "alone of its kind"]
    assert [mark.behind for mark in shown] == [False] * 4 + [True] * 5 + [False]
    # Where further is better, as with speed, other rows win.
    assert names(named(MANY, smaller=False)) == ["full", "best", "alone of its kind"]


def test_rows_of_equal_worth_both_keep_their_names():
    twins = [replace(MANY[1], label="twin"), *MANY]
    assert {"twin", "best"} <= set(names(named(twins, smaller=True)))


def test_a_page_of_many_rows_says_what_the_small_marks_are():
    report = quickstart()
    few = plots(report)[0]
    assert "beaten" not in few.caption
    row = next(row for row in report.rows if row.quality and row.size)
    worse = row.size.model_copy(update={"bytes": row.size.bytes * 2})
    report.rows += [row.model_copy(update={"id": f"more_{n}", "size": worse, "baseline": False}) for n in range(9)]
    many = plots(report)[0]
    assert "beaten in both" in many.caption and ">more_3<" not in many.svg and "more_3: " in many.svg
