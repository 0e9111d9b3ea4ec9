"""Records as runs wrote them before stages showed exhibits: their facts become exhibits, and every view draws them."""

import io
import json
from pathlib import Path

from rich.console import Console

from recipes.old_records import with_exhibits
from recipes.record import Report
from recipes.report import html, markdown
from recipes.report.terminal import show

OLD = Path(__file__).parent / "old"


def test_the_facts_of_an_old_report_become_exhibits():
    rows = {row.id: row for row in Report.read(OLD).rows}
    shown = {id: [(one.kind, one.title) for one in row.exhibits] for id, row in rows.items()}
    curve = ("curves", "recovery, loss curve")
    assert shown == {
        "finetune": [("curves", "loss curve")],
        "distill": [("heatmap", "layers"), ("curves", "loss curve")],
        "fewer_heads": [("heatmap", "heads"), ("heatmap", "importance of the heads"), curve],
        "trim_vocabulary": [curve],
        "factorize": [("spectrum", "words"), curve],
        "ticket": [("table", "tickets"), ("curves", "accuracy against weights left")],
        "subnetworks": [("table", "tickets")],
    }
    assert rows["fewer_heads"].exhibits[1].kept == ((0, 3), (0, 1))
    assert "importance" not in rows["fewer_heads"].facts and "loss_curve" not in rows["fewer_heads"].facts["recovery"]
    assert rows["ticket"].facts["lottery"]["lines"]


def test_every_view_draws_an_old_report():
    report, out = Report.read(OLD), io.StringIO()
    show(report, Console(file=out, width=160))
    page = html.page(report)
    for view in (out.getvalue(), markdown.page(report), page):
        assert "ickets of " in view and "when cut" in view and "ticket above by" in view
    assert page.count("<figure>") == 11 and "rank of words" in page and "encoded differently, rows" in page


def test_an_old_stage_s_record_keeps_what_the_tokenizer_changed_as_a_fact():
    found = with_exhibits(json.loads((OLD / "stage.json").read_text("utf-8")))
    assert found["facts"]["encoded_differently"]["rows"] == 2 and "encoded_differently" not in found
    assert [one["title"] for one in found["exhibits"]] == ["recovery, loss curve"]
    assert with_exhibits(found) == found


def test_a_fact_that_does_not_read_as_it_is_named_stays_a_fact():
    for name, fact in (
        ("importance", {"heads": [["<b>"]]}), ("importance", {"heads": []}), ("importance", "much"),
        ("importance", {"heads": [[float("nan")]]}), ("spectra", "none"), ("spectra", [{"role": "up"}]),
        ("lottery", {"lines": 3}), ("loss_curve", ["low"]),
    ):  # fmt: skip
        assert with_exhibits({"facts": {name: fact}, "cut": {}}) == {"facts": {name: fact}, "cut": {}, "exhibits": []}
