"""Views of a report: the terminal, Markdown, one HTML page, and several runs side by side. No torch here."""

from __future__ import annotations

from pathlib import Path

from compress.core.files import write_whole
from recipes.record import Report
from recipes.report import html, markdown, terminal
from recipes.report.comparing.comparison import Comparison, compare

__all__ = ["Comparison", "compare", "terminal", "write"]


def write(report: Report, directory: Path) -> None:
    """Write report.md and report.html into `directory`, beside report.json.

    Args:
        report: of a run.
        directory: of the run.
    """
    write_whole(directory / "report.md", markdown.page(report))
    write_whole(directory / "report.html", html.page(report))
