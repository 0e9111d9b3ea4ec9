import re
from typing import Any

from compress.core.stage.exhibit import kept_units
from recipes.report.plots.pruned_maps import Picture, kept_map


def squares(svg: str, kind: str) -> int:
    return sum(path.count("M") for path in re.findall(rf'class="{kind}"[^>]* d="([^"]*)"', svg))


def drawn(part: str, what: dict[str, Any]) -> Picture:
    (shown,) = kept_units({part: what})
    return kept_map(shown)


def test_each_head_has_a_cell() -> None:
    found = drawn("heads", {"kept": [[0, 3], [1], []], "of": 4})
    assert found.caption == "Heads left after this stage: filled is kept."
    assert squares(found.svg, "kept") == 3
    assert squares(found.svg, "cut") == 9
    assert "layer 0 keeps 2 of 4; layer 1 keeps 1 of 4; layer 2 keeps 0 of 4" in found.svg


def test_layers_are_one_line_with_numbers() -> None:
    found = drawn("layers", {"kept": [0, 2, 5], "of": 6})
    assert (squares(found.svg, "kept"), squares(found.svg, "cut")) == (3, 3)
    assert "layers: 3 of 6 kept (0, 2, 5)" in found.svg


def test_many_neurons_become_a_small_strip() -> None:
    found = drawn("neurons", {"kept": [list(range(0, 3072, 2)), list(range(100))], "of": 3072})
    assert "the stronger a cell" in found.caption
    assert len(found.svg) < 5000
    assert "1,536 of 3,072" in found.svg


def test_layers_may_differ_in_width_and_in_kind() -> None:
    found = drawn("heads", {"kept": [[0], [0, 1], []], "of": [2, 3, 1], "kinds": ["encoder", "decoder", "cross-x"]})
    assert (squares(found.svg, "kept"), squares(found.svg, "cut")) == (3, 3)
    assert all(name in found.svg for name in ("encoder 0", "decoder 0", "cross 0"))


def test_a_part_s_name_is_escaped() -> None:
    assert "<script>" not in drawn("<script>", {"kept": [0], "of": 2}).svg
