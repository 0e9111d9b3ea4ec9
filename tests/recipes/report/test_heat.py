import re

from recipes.report.heat import heat_maps
from recipes.report.pictures import pictures


def squares(svg: str) -> int:
    return sum(path.count("z") for path in re.findall(r'class="kept"[^>]* d="([^"]*)"', svg))


def test_each_head_has_a_cell_and_a_cut_one_a_line() -> None:
    scores = [[0.1, 0.4, 0.2], [0.9, 0.0, 0.3]]
    (drawn,) = heat_maps({"importance": {"heads": scores}}, {"heads": {"kept": [[1, 2], [0]], "of": 3}})
    assert drawn.exact and squares(drawn.svg) == 6
    assert re.search(r'class="cut gone" d="([^"]*)"', drawn.svg)
    assert sum(d.count("M") for d in re.findall(r'class="cut gone" d="([^"]*)"', drawn.svg)) == 3
    assert "layer 1: mean 0.4, most 0.9 (0), 1 kept" in drawn.svg


def test_neurons_are_sorted_and_drawn_as_a_small_strip() -> None:
    scores = [[float(unit) for unit in range(1536)]] * 6
    (drawn,) = heat_maps({"importance": {"neurons": scores}}, {"neurons": {"kept": [list(range(768, 1536))] * 6}})
    assert not drawn.exact and len(drawn.svg) < 30_000 and squares(drawn.svg) == 6 * 64
    assert "768 of 1,536" in drawn.svg


def test_layers_are_one_line() -> None:
    (drawn,) = heat_maps({"importance": {"layers": [[0.5, 0.1, 0.2]]}}, {"layers": {"kept": [0, 2], "of": 3}})
    assert squares(drawn.svg) == 3 and "2 of 3" in drawn.svg


def test_what_is_no_worth_is_left_to_the_facts() -> None:
    for found in (None, "much", {"heads": []}, {"heads": [[float("nan")]]}, {"heads": [["<b>"]]}, {"heads": [[]]}):
        assert heat_maps({"importance": found}, {}) == []
    assert heat_maps({}, {}) == []


def test_layers_of_several_kinds_have_their_names() -> None:
    cut = {"heads": {"kept": [[0], [1], [0]], "of": 2, "kinds": ["encoder", "decoder", "cross-attention"]}}
    (drawn,) = heat_maps({"importance": {"heads": [[0.1, 0.2]] * 3}}, cut)
    (left,) = pictures(cut)
    for name in ("encoder 0", "decoder 0", "cross 0"):
        assert name in drawn.svg and name in left.svg
