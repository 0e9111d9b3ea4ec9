"""Drawing of exhibits: small pictures beside a stage, and sections of plots and tables. Independent of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.core.stage import exhibit
from recipes.record import Report, Row
from recipes.report.plots.curve_plot import curve_plot
from recipes.report.plots.curves import small_curve
from recipes.report.plots.heat import heat_map
from recipes.report.plots.pruned_maps import Picture, kept_map
from recipes.report.plots.scatter import Plot
from recipes.report.plots.spectrum import cut_pair, spectrum
from recipes.report.table.shown_table import shown_table
from recipes.report.table.table import Table, row_name

__all__ = ["Section", "facts_shown", "pictures", "sections", "words"]


@dataclass(frozen=True)
class Section:
    """Exhibits of a row that are too large to stand beside its stage."""

    title: str
    curves: tuple[exhibit.Curves, ...]
    tables: tuple[Table, ...]

    def plots(self, key: str) -> list[Plot]:
        """The curves, drawn; `key` begins their ids."""
        return [curve_plot(shown, f"{key}-{index}") for index, shown in enumerate(self.curves)]


def sections(report: Report) -> list[Section]:
    """Sections of the report: one for each row whose exhibits are tables, or curves over an axis of their own."""
    return [found for row in report.rows if (found := _section(row, row_name(row, report)))]


def pictures(shown: Sequence[exhibit.Exhibit]) -> list[Picture]:
    """A small picture of everything that stands beside its stage."""
    return [drawn for one in shown if (drawn := _picture(one))]


def words(shown: Sequence[exhibit.Exhibit]) -> list[tuple[str, str]]:
    """Each spectrum as a (name, sentence) pair."""
    return [cut_pair(one) for one in shown if isinstance(one, exhibit.Spectrum)]


def facts_shown(shown: Sequence[exhibit.Exhibit]) -> frozenset[str]:
    """The names of the facts that stand in a table or a plot."""
    return frozenset(one.fact for one in shown if isinstance(one, exhibit.Table | exhibit.Curves) and one.fact)


def _section(row: Row, name: str) -> Section | None:
    tables = tuple(one for one in row.exhibits if isinstance(one, exhibit.Table))
    curves = tuple(one for one in row.exhibits if isinstance(one, exhibit.Curves) and one.at)
    if not tables and not curves:
        return None
    title = tables[0].title if tables else curves[0].title
    return Section(f"{title} of {name}", curves, tuple(map(shown_table, tables)))


def _picture(one: exhibit.Exhibit) -> Picture | None:
    if isinstance(one, exhibit.Heatmap):
        return heat_map(one) if one.values else kept_map(one)
    if isinstance(one, exhibit.Spectrum):
        return spectrum(one)
    return small_curve(one) if isinstance(one, exhibit.Curves) and not one.at else None
