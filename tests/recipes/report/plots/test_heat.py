import re
from typing import Any

from compress.core.stage.exhibit import Heatmap, group_names
from recipes.report.plots.heat import heat_map


def squares(svg: str) -> int:
    return sum(path.count("z") for path in re.findall(r'class="kept"[^>]* d="([^"]*)"', svg))


def scored(scores: list[list[float]], kept: Any = None, **settings: Any) -> Heatmap:
    rows = settings.pop("rows", group_names(len(scores)))
    return Heatmap(
        title="importance of the heads", rows=rows, values=scores, kept=kept, of=list(map(len, scores)), **settings
    )


def test_each_head_has_a_cell_and_a_cut_one_a_line() -> None:
    drawn = heat_map(scored([[0.1, 0.4, 0.2], [0.9, 0.0, 0.3]], [[1, 2], [0]]))
    assert squares(drawn.svg) == 6
    assert sum(d.count("M") for d in re.findall(r'class="cut gone" d="([^"]*)"', drawn.svg)) == 3
    assert "layer 1: mean 0.4, most 0.9 (0), 1 kept" in drawn.svg and "2 of 3" in drawn.svg
    assert drawn.caption.startswith("Importance of the heads, from 0 to 0.900, the stronger the higher; a line through")


def test_neurons_are_sorted_and_drawn_as_a_small_strip() -> None:
    drawn = heat_map(scored([[float(unit) for unit in range(1536)]] * 6, [list(range(768, 1536))] * 6))
    assert len(drawn.svg) < 30_000 and squares(drawn.svg) == 6 * 64
    assert "768 of 1,536" in drawn.svg and "the highest of each layer first" in drawn.caption


def test_layers_are_one_line() -> None:
    drawn = heat_map(scored([[0.5, 0.1, 0.2]], [[0, 2]], rows=["layers"]))
    assert squares(drawn.svg) == 3 and "2 of 3" in drawn.svg


def test_scores_of_which_nothing_goes_have_their_columns_names() -> None:
    drawn = heat_map(scored([[1.0, -2.0]], columns=["query", "<b>"]))
    assert "from left to right query, <b>" in drawn.caption and "cut" not in drawn.caption
    assert "of 2" not in drawn.svg and "gone" not in drawn.svg and squares(drawn.svg) == 2


def test_names_are_escaped() -> None:
    assert "<script>" not in heat_map(scored([[0.5]], rows=["<script>"])).svg
