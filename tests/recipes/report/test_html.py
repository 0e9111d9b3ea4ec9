import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from recipes.record import Report
from recipes.report import html
from tests.recipes.report.sample import changed, failed, kept, predicted, quickstart, row, three_seeds

REPORTS = {"quickstart": quickstart(), "seeds": three_seeds(), "failed": failed(), "predicted": predicted()}
VOID = {"meta", "link", "input", "br", "hr", "img"}

pytestmark = pytest.mark.xdist_group("pages")  # what they share is dear, and made once


@cache
def view(name: str) -> str:
    return html.page(REPORTS[name])


class Outline(HTMLParser):
    """Checks that tags close in order, and collects them."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.seen if name == tag]


@pytest.fixture(params=REPORTS)
def page(request: pytest.FixtureRequest) -> str:
    return view(request.param)


def test_tags_close_and_ids_are_unique(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    ids = [attrs["id"] for _, attrs in outline.seen if attrs.get("id")]
    assert len(ids) == len(set(ids))


def test_nothing_is_asked_of_the_network(page: str) -> None:
    outline = Outline(page)
    assert not re.search(r"(https?:)?//[a-z]", page)
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)'\"]*)", page))
    for _, attrs in outline.seen:
        references = [attrs[key] or "" for key in ("src", "href", "xlink:href", "srcset", "action") if key in attrs]
        assert all(target.startswith(("#", "data:")) for target in references)
    assert not outline.all("script")
    assert "default-src 'none'" in page


def test_tables_and_drawings_are_named(page: str) -> None:
    outline = Outline(page)
    assert len(outline.all("table")) == len(outline.all("caption")) >= 1
    assert all(attrs.get("scope") in {"col", "row"} for attrs in outline.all("th"))
    drawings = outline.all("svg")
    assert all(attrs.get("role") == "img" for attrs in drawings)
    assert page.count("<title") == len(drawings) + 1
    assert [attrs["lang"] for attrs in outline.all("html")] == ["en"]


def test_every_row_and_its_numbers_are_there() -> None:
    page = view("quickstart")
    assert all(f"<h3>{one.id}</h3>" in page for one in REPORTS["quickstart"].rows)
    for words in (
        "15.6 MB",
        "8.4×",
        "[−3.1, −0.5]",
        "within noise",
        "1 min 21 s",
        "p = 0.016",
        "10⁶",
        "AVX-512",
        "epochs: 3",
    ):
        assert words in page, words
    assert "layer 0 keeps 6 of 12" in page
    assert "layer 2 keeps 768 of 1,536" in page
    assert "3 of 6 kept (0, 2, 5)" in page


def test_user_text_is_escaped() -> None:
    for page in map(view, REPORTS):
        assert "<script" not in page
    assert "&lt;script&gt;alert(" in view("quickstart")
    assert "{{ 7*7 }}" in view("quickstart")
    assert "&lt;script&gt;" in view("failed")


def test_changed_inputs_can_be_filtered() -> None:
    page = view("quickstart")
    assert page.count('<li class="broken">') > page.count('<li class="fixed">') > 0
    assert "21 turned wrong, 9 turned right" in page
    assert ".changed:has([value=broken]:checked) li:not(.broken)" in page


def test_seeds_have_sections_of_their_own() -> None:
    page = view("seeds")
    assert page.count("<summary>Seed 2</summary>") == 3
    assert '<tr class="mean">' in page


def test_a_prediction_claims_nothing() -> None:
    assert '<h2 id="table">Predictions</h2>' in view("predicted")
    assert "accuracy on" not in view("predicted") and "speed-up" not in view("predicted")
    assert "<svg" not in view("predicted"), "which units are cut is not known before a run"


def test_plots_take_the_page_s_colours_and_keep_text_as_text() -> None:
    drawn = re.findall(r'<svg class="plot".*?</svg>', view("quickstart"), re.DOTALL)
    assert len(drawn) == 2
    for svg in drawn:
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
        assert "var(--accent)" in svg and "openvino</text>" in svg
    assert "size of the model" in drawn[0] and "(MB)" in drawn[0]
    assert html.page(REPORTS["quickstart"]) == view("quickstart")


def test_a_huge_report_stays_below_five_megabytes() -> None:
    text = "an endless review " * 60
    inputs = [one.model_copy(update={"text": text}) for one in changed(0, 300)]
    cut = {"heads": kept(12, 12, 0.5, 1), "neurons": kept(12, 3072, 0.5, 1)}
    rows = [row(f"stage-{i}", "prune", "source", seed=0, cut=cut, changed_inputs=inputs) for i in range(60)]
    page = html.page(Report(name="huge", recipe={}, rows=rows))
    assert len(page.encode()) < 5_000_000
    assert "stage-59" in page


def _luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_contrast(scheme: int) -> None:
    css = (Path(html.__file__).parent / "templates" / "style.css").read_text()
    colors = {name: pair[scheme] for name, *pair in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", css)}
    used = set(re.findall(r"(?<![-\w])(?:color|fill): var\(--(\w+)\)", css)) | {"ink", "muted"}
    for text in used:
        for ground in ("page", "surface"):
            high, low = sorted((_luminance(colors[text]), _luminance(colors[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
