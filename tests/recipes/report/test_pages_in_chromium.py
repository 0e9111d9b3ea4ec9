"""The page as a browser lays it out. Needs a Chromium on the machine."""

import html as escaping
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recipes.report import html
from tests.recipes.report.sample import failed, predicted, quickstart, three_seeds

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000", "--dump-dom",
)  # fmt: skip
MEASURE = """<!doctype html><body><iframe style="border:0;width:{width}px;height:60000px" srcdoc="{page}"></iframe>
<script>
document.querySelector("iframe").onload = event => {{
  const root = event.target.contentDocument.documentElement;
  document.title = `${{root.scrollWidth}} of ${{root.clientWidth}}`;
}};</script>"""
REPORTS = {"quickstart": quickstart, "seeds": three_seeds, "failed": failed, "predicted": predicted}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", REPORTS)
def test_the_page_does_not_scroll_sideways(tmp_path: Path, name: str, width: int) -> None:
    page = html.page(REPORTS[name]()).replace("<details>", "<details open>")
    file = tmp_path / "frame.html"
    file.write_text(MEASURE.format(width=width, page=escaping.escape(page)), "utf-8")
    command = [
        str(CHROMIUM),
        *FLAGS,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1400,1000",
        file.as_uri(),
    ]
    dom = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"<title>(\d+) of (\d+)</title>", dom)
    assert found is not None
    assert int(found[2]) == width
    assert int(found[1]) <= width
