"""Views of a sensitivity scan: Markdown, and one HTML page with a plot and the importance of each unit."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.files import write_whole
from compress.core.stage.exhibit import Heatmap, group_names
from recipes.report import units
from recipes.report.plots.heat import heat_map
from recipes.report.plots.scatter import ACCENT, INK, MUTED, SETTINGS, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recipes.scan.record import Scan

__all__ = ["headline", "left_out", "markdown", "page", "plot", "write"]

ALL = "all"
REMOVED = 1.0
"""The sparsity of a layer that is masked as a whole."""
LABEL = 0.12
"""Height of a line's name, in inches."""


def write(scan: Scan, directory: Path) -> None:
    """Write scan.md and scan.html into `directory`, beside scan.json.

    Args:
        scan: measured.
        directory: of the scan.
    """
    write_whole(directory / "scan.md", markdown(scan))
    write_whole(directory / "scan.html", page(scan))


def headline(scan: Scan) -> str:
    """Title of the scan: model, metric, criterion."""
    whole = units.score(scan.metric, scan.whole)
    words = f"{scan.metric} {whole} on the {scan.rows:,} rows of {scan.part}"
    return f"{words}; what is worth least by {_criterion(scan)} is masked, and nothing is trained."


def markdown(scan: Scan) -> str:
    """The scan as Markdown, a table for each pattern: the metric, and the difference to the unmasked model."""
    parts = [f"# Scan of {scan.name}", headline(scan)]
    for pattern in _patterns(scan):
        head, lines = _table(scan, pattern)
        rows = [head, ["---", *("---:" for _ in head[1:])], *lines]
        parts += [f"## {pattern}", "\n".join(f"| {' | '.join(row)} |" for row in rows)]
    if scan.left_out:
        parts += ["## Left out", "\n".join(f"- {line}" for line in left_out(scan))]
    return "\n\n".join(parts) + "\n"


def left_out(scan: Scan) -> list[str]:
    """Maskings that were not measured, and why: a line for each pattern and reason."""
    shares: dict[tuple[str, str], list[str]] = {}
    for each in scan.left_out:
        shares.setdefault((each.pattern, each.why), []).append(f"{each.sparsity * 100:g} %")
    return [f"{pattern} at {', '.join(at)}: {why}" for (pattern, why), at in shares.items()]


def page(scan: Scan) -> str:
    """One self-contained page."""
    sections = []
    for pattern in _patterns(scan):
        head, lines = _table(scan, pattern)
        drawn = [(plot(scan, pattern), _caption(scan, pattern))]
        drawn += [(one.svg, one.caption) for one in map(heat_map, _importance(scan, pattern))]
        figures = [f"<figure>{svg}<figcaption>{escape(words)}</figcaption></figure>" for svg, words in drawn]
        body = "".join(_row(line, "td") for line in lines)
        table = f"<table><thead>{_row(head, 'th')}</thead><tbody>{body}</tbody></table>"
        sections.append(f"<h2>{escape(pattern)}</h2><div class='pictures'>{''.join(figures)}</div>{table}")
    if scan.left_out:
        items = "".join(f"<li>{escape(line)}</li>" for line in left_out(scan))
        sections.append(f"<h2>Left out</h2><ul>{items}</ul>")
    style = (Path(__file__).parent / "templates" / "style.css").read_text("utf-8")
    title = escape(f"Scan of {scan.name}")
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width, initial-scale=1'><meta http-equiv='Content-Security-Policy' "
        f"content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"><title>{title}</title>"
        f"<style>{style}</style></head><body><main><h1>{title}</h1><p class='lead'>{escape(headline(scan))}</p>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def plot(scan: Scan, pattern: str) -> str:
    """The metric against sparsity as inline SVG: a thin line for each layer alone, strong ones for many at once.

    Args:
        scan: measured.
        pattern: name of the pattern that is plotted.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    scale, lines = 100.0 if units.is_percent(scan.metric) else 1.0, _lines(scan, pattern)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.0, max(3.5, LABEL * (len(lines) + 8))), layout="constrained")
        canvas, axes = FigureCanvasSVG(figure), figure.add_subplot()
        for where, points in lines.items():
            across = [0.0, *(sparsity * 100 for sparsity, _ in points)]
            axes.plot(across, [scan.whole * scale, *(value * scale for _, value in points)], **_style(where))
        axes.set_xlabel(f"{pattern} masked (%)")
        axes.set_ylabel(f"{scan.metric} (%)" if units.is_percent(scan.metric) else scan.metric)
        axes.margins(x=0.14)
        _name_lines(axes, {w: (points[-1][0] * 100, points[-1][1] * scale) for w, points in lines.items()}, figure)
        out = io.StringIO()
        canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    words = "; ".join(f"{where}: {value:.4g} at {share:g}" for where, p in lines.items() for share, value in p)
    key = "scan-" + re.sub(r"\W+", "-", pattern)
    return inline(out.getvalue(), key, f"{scan.metric} against the share of {pattern} masked", words)


def _style(where: str) -> dict[str, Any]:
    """Thin for a layer alone, dashed for a type, strong for all."""
    if where == ALL:
        return {"color": ACCENT, "linewidth": 2, "marker": "o", "markersize": 4}
    if _is_layer(where):
        return {"color": MUTED, "linewidth": 0.8, "marker": "o", "markersize": 2}
    return {"color": ACCENT, "linewidth": 1.2, "linestyle": "--", "marker": "o", "markersize": 3}


def _name_lines(axes: Axes, ends: dict[str, tuple[float, float]], figure: Figure) -> None:
    """Each line's name beside its end, as near to it as the other names let it be."""
    figure.draw_without_rendering()
    height = axes.get_window_extent().height / figure.get_dpi()
    low, high = axes.get_ylim()
    step = LABEL * (high - low) / height
    below = low - step
    for where, (x, y) in sorted(ends.items(), key=lambda end: end[1][1]):
        rest = sum(other >= y for _, other in ends.values())
        below = max(below + step, min(y, high - rest * step))
        axes.annotate(where, (x, below), (6, -2), textcoords="offset points", color=INK, fontsize=7)


def _lines(scan: Scan, pattern: str) -> dict[str, list[tuple[float, float]]]:
    """Where -> (sparsity, value), rising."""
    found: dict[str, list[tuple[float, float]]] = {}
    for point in scan.points:
        if point.pattern == pattern:
            found.setdefault(point.where, []).append((point.sparsity, point.value))
    return {where: sorted(points) for where, points in found.items()}


def _is_layer(where: str) -> bool:
    """A layer alone has a number; the names of many layers at once have none."""
    return where[-1].isdigit()


def _table(scan: Scan, pattern: str) -> tuple[list[str], list[list[str]]]:
    lines = _lines(scan, pattern)
    shares = sorted({share for points in lines.values() for share, _ in points})
    head = [pattern, *("removed" if share == REMOVED else f"{share * 100:g} % masked" for share in shares)]
    rows = [[where, *(_cell(scan, dict(points).get(share)) for share in shares)] for where, points in lines.items()]
    return head, rows


def _cell(scan: Scan, value: float | None) -> str:
    if value is None:
        return units.DASH
    return f"{units.score(scan.metric, value)} ({units.difference(scan.metric, value - scan.whole)})"


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _patterns(scan: Scan) -> list[str]:
    return list(dict.fromkeys(point.pattern for point in scan.points))


def _criterion(scan: Scan) -> str:
    return scan.criterion if isinstance(scan.criterion, str) else next(iter(scan.criterion))


def _caption(scan: Scan, pattern: str) -> str:
    lines = _lines(scan, pattern).keys() - {ALL}
    looks = ["thin lines mask one layer alone"] if any(map(_is_layer, lines)) else []
    looks += ["dashed ones one type"] if not all(map(_is_layer, lines)) else []
    words = ", ".join([*looks, "the strong one all at once"])
    words = f"{words[0].upper()}{words[1:]}"
    return f"{words}; no interval is drawn, and {scan.rows:,} rows tell small differences from chance poorly."


def _importance(scan: Scan, pattern: str) -> list[Heatmap]:
    """The score of each unit, or the mean score of each matrix; none where the criterion gave no finite ones."""
    scores, columns = scan.importance.get(pattern, []), tuple(scan.columns.get(pattern, ()))
    if not scores or not all(row and all(map(math.isfinite, row)) for row in scores):
        return []
    return [
        Heatmap(
            title="mean importance of the weights of each matrix" if columns else f"importance of the {pattern}",
            rows=group_names(len(scores)) if len(scores) > 1 else (pattern,),
            columns=columns,
            values=tuple(map(tuple, scores)),
            of=tuple(map(len, scores)),
        )
    ]
