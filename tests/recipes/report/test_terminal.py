import io
import re

import pytest
from rich.console import Console

from recipes.record import Report
from recipes.report import terminal
from recipes.report.terminal import show
from tests.recipes.report.sample import failed, predicted, quickstart, three_seeds


def printed(report: Report, width: int, **options: object) -> str:
    out = io.StringIO()
    show(report, Console(file=out, width=width, highlight=False, **options))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("report", [quickstart(), three_seeds(), failed(), predicted()], ids=lambda r: r.name)
def test_it_fits_and_every_row_is_there(report: Report, width: int) -> None:
    lines = printed(report, width).splitlines()
    assert max(map(len, lines)) <= width
    assert all(any(line.startswith(row.id) for line in lines) for row in report.rows)


@pytest.mark.parametrize("report", [quickstart(), three_seeds()], ids=lambda r: r.name)
def test_80_columns_keep_what_matters_most(report: Report) -> None:
    head = [column.key for column in terminal.fitting(terminal.table(report), 80)]
    assert {"id", "size", "quality", "difference", "speed 0"} <= set(head)
    wide = [column.key for column in terminal.fitting(terminal.table(report), 120)]
    assert {"parameters", "speed 1"} <= set(wide)


def test_intervals_verdicts_and_reuse_are_said() -> None:
    text = printed(quickstart(), 120)
    assert "[90.7, 93.9]" in text
    assert "−0.4 pp (noise)" in text
    assert "budget speedup: met: asked 8.0×, got 8.4× (openvino)" in text
    assert "budget metric_drop: not decidable: asked 2.5 pp, got 1.8 pp (openvino)" in text
    assert "reused, finished earlier and unchanged: finetune, distill" in text


def test_noise_has_no_colour_and_a_loss_has() -> None:
    text = printed(quickstart(), 120, force_terminal=True, color_system="standard")
    assert re.search(r"\x1b\[31m *−1\.7 pp", text)
    assert re.search(r"\x1b\[32m *8\.4×", text)
    assert not re.search(r"\x1b\[3\dm *(−0\.4|\+0\.1) pp", text)


def test_a_prediction_says_so() -> None:
    text = printed(predicted(), 80)
    assert "nothing was run" in text
    assert "accuracy" not in text
    assert "1.40 GB" in text
    assert "between 15.2 and 16.0 million parameters" in text


def test_a_failure_is_shown_in_full_and_never_read_as_markup() -> None:
    text = printed(failed(), 120)
    assert "distill failed: the loss became NaN" in text
    assert "[bold]" in text


def test_a_console_without_unicode_gets_plain_signs() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    show(quickstart(), Console(file=out, width=100, highlight=False))
    out.flush()
    assert b"8.4x" in raw.getvalue() and b"-1.8 pp" in raw.getvalue()
