"""The sections of what stages show, tried with the tables and curves of a search for tickets and of a study."""

from __future__ import annotations

import io
from typing import Any

import pytest

from compress.lottery.exhibits import search_exhibits, study_exhibits
from recipes.record import Report
from recipes.report import html, markdown
from recipes.report.plots.exhibits import sections
from recipes.report.terminal import show
from tests.recipes.report.sample import quickstart

FULL = {"scores": [0.90, 0.92], "mean": 0.91, "deviation": 0.0141}
OVERLAP = {"kept": 0.61, "removed": 0.8, "chance_kept": 0.2, "chance_removed": 0.5, "parameters": {"a": [0.6, 0.8]}}
ABOUT = {"metric": "accuracy", "examples": 200, "seeds": [0, 1], "full": FULL, "parameters": 22_000_000}


def judged(mean: float, *, low: float, high: float, within: bool | None = True) -> dict[str, Any]:
    return {
        "scores": [mean, mean], "mean": mean, "deviation": 0.01, "difference": mean - 0.91, "interval": [low, high],
        "within_one_deviation": within, "strictly": high >= 0,
    }  # fmt: skip


def size(number: int, remaining: float) -> dict[str, Any]:
    return {"round": number, "remaining": remaining, "kept": int(10_600_000 * remaining)}


SEARCH = {
    **ABOUT,
    "weights": 10_600_000,
    "lines": {
        "ticket": [
            {**size(1, 0.8), **judged(0.905, low=-0.02, high=0.01)},
            {**size(2, 0.64), **judged(0.85, low=-0.09, high=-0.03, within=False)},
        ],
        "random_mask": [
            {**size(1, 0.8), "scores": [0.8, 0.8], "mean": 0.8, "deviation": 0.0, "ticket_above": 0.105,
             "interval": [0.05, 0.16]},
            {**size(2, 0.64), "scores": [0.84, 0.84], "mean": 0.84, "deviation": 0.0, "ticket_above": 0.01,
             "interval": [-0.03, 0.05]},
        ],
    },
    "overlap": [{"round": 1, **OVERLAP}, {"round": 2, **OVERLAP}],
}  # fmt: skip
KIND = {"heads": [30, 28], "networks": [4, 5], "remaining": [0.6, 0.62]}
STUDY = {
    **ABOUT,
    "keeps": 0.9,
    "weights": 10_600_000,
    "subnetworks": {
        kind: {
            **KIND,
            "cut": judged(cut, low=-0.2, high=-0.1, within=False),
            "trained": judged(0.9, low=-0.03, high=0.01),
        }
        for kind, cut in (("good", 0.83), ("random", 0.6), ("bad", 0.5))
    },
    "overlap": [],
}


@pytest.fixture
def report() -> Report:
    made = quickstart()
    for row, found, exhibits in ((made.rows[1], SEARCH, search_exhibits), (made.rows[2], STUDY, study_exhibits)):
        row.facts["lottery"] = found
        row.exhibits.extend(exhibits(found))
    return made


def texts(report: Report, number: int) -> list[list[str]]:
    (table,) = sections(report)[number].tables
    return [[line.cells[column.key].text for column in table.columns] for line in table.lines]


def test_a_search_has_a_line_for_each_size_beside_its_controls(report):
    assert texts(report, 0) == [
        ["100 %", "91.0 %", "–", "–", "–", "–"],
        ["80.0 %", "90.5 %", "−0.5 pp", "yes", "yes", "80.0 %"],
        ["64.0 %", "85.0 %", "−6.0 pp", "no", "no", "84.0 %"],
    ]


def test_what_an_interval_does_not_show_is_marked(report):
    (table,) = sections(report)[0].tables
    difference, control = (table.columns[place].key for place in (2, 5))
    tones = [[line.cells[key].tone for key in (difference, control)] for line in table.lines[1:]]
    assert tones == [["noise", ""], ["loss", "noise"]]
    assert table.lines[1].cells[control].detail == "+10.5 pp [+5.0, +16.0]"


def test_a_study_has_a_line_for_each_subnetwork_cut_and_trained(report):
    assert texts(report, 1)[1] == ["good", "30, 28", "4, 5", "83.0 %", "90.0 %", "−1.0 pp", "yes", "yes"]
    assert [line[0] for line in texts(report, 1)] == ["full model", "good", "random", "bad"]


def test_the_overlap_stands_beside_chance(report):
    ((_, words),) = sections(report)[0].tables[0].footnotes
    assert "0.61 of what they keep (by chance 0.20)" in words


def test_the_drawing_has_a_band_for_each_line_and_says_what_it_shows(report):
    search, study = sections(report)
    assert search.title == f"tickets of {report.rows[1].id}" and study.plots("b") == []
    (plot,) = search.plots("a")
    assert plot.svg.count("FillBetweenPolyCollection") == 2 or plot.svg.count("PolyCollection") == 2
    assert "full model 91; ticket: 91 at 100, 90.5 at 80, 85 at 64" in plot.svg and "random mask" in plot.svg
    assert "http" not in plot.svg


def test_every_view_shows_it_and_the_facts_do_not_repeat_it(report):
    from rich.console import Console

    out = io.StringIO()
    show(report, Console(file=out, width=160))
    page = html.page(report)
    for view in (out.getvalue(), markdown.page(report), page):
        assert "90.5 %" in view and "random mask" in view and "by chance" in view
    assert "chance kept" not in page


def test_one_seed_cannot_be_judged_by_a_deviation():
    one = {**SEARCH["lines"]["ticket"][0], "within_one_deviation": None, "deviation": None}
    table, _ = search_exhibits({**SEARCH, "lines": {"ticket": [one]}, "overlap": []})
    assert table.rows[1][3].main == "one seed" and table.notes == ()


def test_a_report_without_tables_has_no_section():
    assert sections(quickstart()) == []
