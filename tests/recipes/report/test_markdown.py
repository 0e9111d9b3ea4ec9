import re

import pytest

from recipes.record import Report
from recipes.report.markdown import page
from tests.recipes.report.sample import failed, predicted, quickstart, three_seeds


@pytest.mark.parametrize("report", [quickstart(), three_seeds(), failed(), predicted()], ids=lambda r: r.name)
def test_the_table_is_whole(report: Report) -> None:
    lines = [line for line in page(report).splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(widths) == 1
    assert all(
        any(line.startswith(f"| {row.id.replace('_', chr(92) + '_')} ") for line in lines) for row in report.rows
    )


def test_user_text_is_text() -> None:
    assert "<script>" not in page(failed()).replace("\\<script\\>", "")


def test_noise_and_budget_are_said() -> None:
    text = page(quickstart())
    assert "−0.4 pp \\[−1.7, +0.9\\], within noise" in text
    assert "- size: **met** (asked 17.0 MB, got 15.6 MB, openvino)" in text
