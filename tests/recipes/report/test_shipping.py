"""The box on top: what to ship and how to call it."""

from __future__ import annotations

from recipes.record import Report
from recipes.report import html, markdown
from recipes.report.headline import achieved
from recipes.report.shipping import shipping
from tests.recipes.report.sample import failed, predicted, quickstart, three_seeds

CODE = 'import onnxruntime\nprint("<a text>")'


def with_usage(report: Report) -> Report:
    rows = [row.model_copy(update={"usage": CODE, "path": f"stages/{row.id}"}) for row in report.rows]
    return report.model_copy(update={"rows": rows})


def test_the_row_of_the_headline_is_shipped() -> None:
    report = with_usage(quickstart())
    row, found = achieved(report), shipping(report)
    assert row is not None and found is not None
    assert (found.name, found.path, found.code) == (row.id, f"stages/{row.id}", CODE)
    assert "of model files" in found.words and "udget" in found.words
    page = html.page(report)
    assert page.index("What to ship") < page.index('id="table"') and "&lt;a text&gt;" in page and "<a text>" not in page


def test_markdown_says_it_too() -> None:
    page = markdown.page(with_usage(quickstart()))
    assert f"```python\n{CODE}\n```" in page and page.index("## What to ship: ") < page.index("| stage")
    assert "What to ship" not in markdown.page(quickstart())


def test_a_loss_that_shows_is_said() -> None:
    report = with_usage(quickstart())
    row = achieved(report)
    assert row is not None and row.quality is not None
    row.quality.difference, row.quality.difference_interval, row.quality.p_value = -0.05, (-0.07, -0.03), 0.001
    found = shipping(report.model_copy(update={"rows": [r for r in report.rows if r.baseline or r.id == row.id]}))
    assert found is not None and "below the baseline's by 5.0 pp" in found.words


def test_nothing_is_shipped_that_was_not_made() -> None:
    assert shipping(with_usage(predicted())) is None
    assert shipping(quickstart()) is None
    assert shipping(Report(name="empty", recipe={})) is None
    assert "What to ship" not in html.page(quickstart())
    html.page(with_usage(failed()))


def test_one_of_several_seeds_is_named() -> None:
    found = shipping(with_usage(three_seeds()))
    assert found is not None and ", seed 0" in found.name


def test_rows_are_cards_on_a_phone() -> None:
    page = html.page(quickstart())
    assert "@media (max-width: 600px)" in page and 'data-title="size, smaller by"' in page
